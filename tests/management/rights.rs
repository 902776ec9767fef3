//! Who may do what: credentials, tags, vhosts (semantics 16.6, 20.1). What is expected was seen of RabbitMQ 4.3.

use serde_json::{Value, json};

use crate::api::{Answered, Api, Managed};

fn not_authorised(reason: &str) -> Answered {
    (401, json!({"error": "not_authorised", "reason": reason}))
}

#[test]
fn nobody_is_let_in_without_a_name_a_password_and_a_tag() {
    let managed = Managed::start();
    managed.api.change("users/plain", &json!({"password": "p", "tags": "impersonator"}));
    let wrong = (401, json!({"error": "not_authorized", "reason": "Not_Authorized"}));
    for credentials in ["guest:wrong", "guest:", "nobody:x", "guest"] {
        assert_eq!(managed.as_user(credentials).get("whoami"), wrong, "{credentials}");
    }
    assert_eq!(managed.as_user("plain:p").get("whoami"), not_authorised("Not management user"));
    let nobody = Api::nobody(managed.port);
    assert_eq!(nobody.get("whoami"), (401, Value::Null));
    assert_eq!(nobody.call("GET", "whoami", &[("authorization", "Bearer x")], &[]), wrong);
    assert_eq!(nobody.put("users/me", &json!({"tags": "administrator"})), (401, Value::Null));
    assert_eq!(managed.api.get("users/me").0, 404);
    // Paths and methods that do not exist do not depend on who asks.
    assert_eq!(nobody.get("nothing").0, 404);
    assert_eq!(nobody.call("POST", "vhosts", &[], b"{}"), (405, Value::Null));
}

#[test]
fn methods_are_the_resources_own() {
    let managed = Managed::start();
    for (method, path, status) in [
        ("DELETE", "users", 405),
        ("POST", "users/u", 405),
        ("PUT", "whoami", 405),
        ("GET", "vhost-limits/%2F/max-queues", 405),
        ("HEAD", "vhosts/%2F", 200),
        ("OPTIONS", "vhosts/%2F", 200),
        ("GET", "vhosts/", 200),
        ("GET", "vhosts?columns=name", 200),
        ("GET", "vhosts/%2F/nothing", 404),
        ("HEAD", "", 200),
        ("HEAD", "index.html", 200),
    ] {
        assert_eq!(managed.api.call(method, path, &[], &[]).0, status, "{method} {path}");
    }
}

#[test]
fn tags_and_permissions_say_what_a_user_may_do() {
    let managed = Managed::start();
    let guest = &managed.api;
    guest.change("vhosts/v", &json!({}));
    let policy = json!({"pattern": "", "definition": {"max-length": 5}});
    guest.change("policies/v/p", &policy);
    guest.change("policies/%2F/hidden", &policy);
    guest.change("vhost-limits/%2F/max-queues", &json!({"value": 9}));
    let nothing = json!({"configure": "", "write": "", "read": ""});
    for tag in ["management", "policymaker", "monitoring"] {
        guest.change(&format!("users/{tag}"), &json!({"password": "p", "tags": tag}));
        guest.change(&format!("permissions/v/{tag}"), &nothing);
        let api = managed.as_user(&format!("{tag}:p"));
        let administrators = not_authorised("Not administrator user");
        for path in
            ["vhosts/v", "users", "permissions", "vhosts/v/permissions", "user-limits", "topic-permissions"]
        {
            assert_eq!(api.get(path), administrators, "{tag} {path}");
        }
        for path in [
            "vhosts/w",
            "users/u",
            "permissions/v/guest",
            "operator-policies/v/o",
            "vhost-limits/v/max-queues",
            "leveret/node-limits",
            "leveret/thresholds",
        ] {
            assert_eq!(api.put(path, &json!({})), administrators, "{tag} {path}");
        }
        // What is in a vhost that is not the user's is kept from it.
        let hidden = (404, json!({"error": "not_found", "reason": "Not Found"}));
        for path in ["policies/%2F", "queues/%2F", "queues/%2F/q", "exchanges/%2F", "vhosts/%2F/connections"]
        {
            assert_eq!(api.get(path), hidden, "{tag} {path}");
        }
        let policies = api.found("policies");
        assert!(policies.as_array().unwrap().iter().all(|policy| policy["vhost"] == "v"), "{policies}");
        assert_eq!(api.found("policies/v"), policies);
        assert_eq!(api.found("exchanges")[0]["vhost"], "v");
        let object = not_authorised("User not authorised to access object");
        let makes = if tag == "policymaker" { (201, Value::Null) } else { object.clone() };
        assert_eq!(api.put("policies/v/new", &policy), makes, "{tag}");
        let elsewhere = if tag == "policymaker" { hidden } else { object.clone() };
        assert_eq!(api.put("policies/%2F/new", &policy), elsewhere, "{tag}");
        let monitors = tag == "monitoring";
        assert_eq!(api.found("vhosts").as_array().unwrap().len(), if monitors { 2 } else { 1 });
        assert_eq!(api.get("vhost-limits/%2F").0, if monitors { 200 } else { 404 });
        assert_eq!(api.get("user-limits/guest").0, if monitors { 200 } else { 401 });
        assert_eq!(api.get(&format!("user-limits/{tag}")).0, 200);
        assert_eq!(api.get("connections/username/guest").0, if monitors { 200 } else { 401 });
        assert_eq!(api.call("DELETE", "connections/username/guest", &[], &[]), object);
        assert_eq!(api.delete(&format!("connections/username/{tag}")), 204);
    }
    guest.delete("permissions/v/guest");
    assert_eq!(guest.get("policies/v/p").0, 200, "an administrator sees every vhost");
}

#[test]
fn connections_are_their_users() {
    let managed = Managed::start();
    for (user, tag) in [("own", "management"), ("other", "management"), ("monitor", "monitoring")] {
        managed.api.change(&format!("users/{user}"), &json!({"password": "p", "tags": tag}));
    }
    managed.api.change("permissions/%2F/own", &json!({"configure": "", "write": "", "read": ""}));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let uri = managed.broker.uri().replace("guest:guest", "own:p");
    let connecting = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default());
    let _connection = runtime.block_on(connecting).unwrap();
    let listed = managed.api.found("connections");
    let name = listed[0]["name"].as_str().unwrap().replace(' ', "%20").replace('>', "%3E");
    let path = format!("connections/{name}");
    for (user, sees, closes) in [("other", false, false), ("monitor", true, false), ("own", true, true)] {
        let api = managed.as_user(&format!("{user}:p"));
        assert_eq!(api.get(&path).0, if sees { 200 } else { 401 }, "{user}");
        assert_eq!(api.found("connections").as_array().unwrap().len(), usize::from(sees), "{user}");
        assert_eq!(api.delete(&path), if closes { 204 } else { 401 }, "{user}");
    }
}
