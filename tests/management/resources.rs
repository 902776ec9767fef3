//! Every resource: made, read, changed, deleted, and refused. What is expected was seen of RabbitMQ 4.3.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use serde_json::{Value, json};

use crate::api::{Api, Managed, not_found};
use crate::support::lapin_client;

fn names(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn vhosts() {
    let mut managed = Managed::start();
    let api = &managed.api;
    assert_eq!(api.change("vhosts/v", &json!({})), 201);
    assert_eq!(api.change("vhosts/v", &Value::Null), 204);
    let described =
        json!({"description": "d", "tags": "x, y", "default_queue_type": "quorum", "tracing": true});
    assert_eq!(api.change("vhosts/v", &described), 204);
    let vhost = api.found("vhosts/v");
    assert_eq!(
        vhost["metadata"],
        json!({"description": "d", "tags": ["x", "y"], "default_queue_type": "quorum"})
    );
    assert_eq!((&vhost["name"], &vhost["tracing"]), (&json!("v"), &json!(true)));
    // What is not given is as in a new vhost, but for the firehose.
    assert_eq!(api.change("vhosts/v", &json!({"tags": ["z"]})), 204);
    let vhost = api.found("vhosts/v");
    assert_eq!((&vhost["description"], &vhost["tags"]), (&json!(""), &json!(["z"])));
    assert_eq!((&vhost["default_queue_type"], &vhost["tracing"]), (&json!("classic"), &json!(true)));
    let all = json!({"user": "guest", "vhost": "v", "configure": ".*", "write": ".*", "read": ".*"});
    assert_eq!(api.found("permissions/v/guest"), all, "who makes a vhost may do all in it");
    assert_eq!(names(&api.found("vhosts")), ["/", "v"]);
    assert_eq!(api.found("vhosts/%2F")["name"], "/");
    assert_eq!(api.get("vhosts/nope"), not_found());
    assert_eq!(api.refused("vhosts/w", &json!({"default_queue_type": "x"})), "x is not a valid queue type");
    assert_eq!(
        api.refused("vhosts/w", &json!({"description": 5})),
        "description should be a string, actually was 5"
    );
    assert_eq!(
        api.refused("vhosts/w", &json!({"tracing": 5})),
        "tracing should be true or false, actually was 5"
    );
    assert_eq!(api.get("vhosts/w"), not_found(), "what is refused changes nothing");
    assert!(managed.broker.terminate());
    managed.broker.restart();
    let api = &managed.as_user("guest:guest");
    assert_eq!(api.found("vhosts/v")["tags"], json!(["z"]));
    assert_eq!((api.delete("vhosts/v"), api.delete("vhosts/v")), (204, 404));
}

#[test]
fn names_may_hold_anything() {
    let managed = Managed::start();
    let api = &managed.api;
    for (path, name) in [("a%2Fb", "a/b"), ("%25%20%3F%23", "% ?#"), ("%C3%BC", "ü"), ("%2e%2e", "..")] {
        let vhost = format!("vhosts/{path}");
        assert_eq!(api.change(&vhost, &json!({})), 201, "{name}");
        assert_eq!(api.found(&vhost)["name"], name);
        let policy = format!("policies/{path}/{path}");
        let body = json!({"pattern": "", "definition": {"max-length": 1}});
        assert_eq!(api.change(&policy, &body), 201);
        assert_eq!(api.found(&policy)["vhost"], name);
        assert_eq!(names(&api.found(&format!("policies/{path}"))), [name]);
        assert_eq!(api.delete(&vhost), 204);
    }
    assert_eq!(api.get("vhosts/%FF").0, 400);
    assert_eq!(api.get("vhosts/%zz").0, 400);
    let long = api.refused(&format!("vhosts/{}", "x".repeat(256)), &json!({}));
    assert_eq!(long, "vhost name is 256 bytes long; at most 255 are allowed");
}

#[test]
fn users() {
    let managed = Managed::start();
    let api = &managed.api;
    let logs_in = |password: &str| managed.as_user(&format!("u:{password}")).get("whoami").0;
    assert_eq!(api.change("users/u", &json!({"password": "a:b", "tags": "management, x"})), 201);
    assert_eq!((logs_in("a:b"), logs_in("a"), logs_in("")), (200, 401, 401));
    let user = api.found("users/u");
    assert_eq!(user["tags"], json!(["management", "x"]));
    assert_eq!(user["hashing_algorithm"], "rabbit_password_hashing_sha256");
    assert_eq!(user["limits"], json!({}));
    let me = json!({"name": "u", "tags": ["management", "x"], "is_internal_user": true});
    assert_eq!(managed.as_user("u:a:b").found("whoami"), me);
    // The password `secret` behind the salt 01020304.
    for (algorithm, hash) in [
        ("sha256", "AQIDBDB9kM21iEUzN1lZ+6VReCsdNqS0sERdAQTcY6Xs3PMz"),
        ("md5", "AQIDBDgk9ci8Lfh6CKE9Y0AUfmU="),
    ] {
        let algorithm = format!("rabbit_password_hashing_{algorithm}");
        let body = json!({"password_hash": hash, "hashing_algorithm": algorithm, "tags": ["management"]});
        assert_eq!(api.change("users/u", &body), 204);
        let user = api.found("users/u");
        assert_eq!((&user["password_hash"], &user["hashing_algorithm"]), (&json!(hash), &json!(algorithm)));
        assert_eq!((logs_in("secret"), logs_in("a:b")), (200, 401), "{algorithm}");
    }
    assert_eq!(api.change("users/u", &json!({"tags": "management", "limits": {"max-channels": 3}})), 204);
    assert_eq!((logs_in("secret"), logs_in("")), (401, 401), "no password is given, so there is none");
    assert_eq!(api.found("users/u")["limits"], json!({"max-channels": 3}));
    assert_eq!(names(&api.found("users")), ["guest", "u"]);
    for (body, reason) in [
        (json!({"password": "p"}), json!("tags_not_present")),
        (
            json!({"password": "x".repeat(4097), "tags": ""}),
            json!("a password is 4097 bytes long; at most 4096 are allowed"),
        ),
        (
            json!({"password": "p", "password_hash": "", "tags": ""}),
            json!("both_password_and_password_hash_are_provided"),
        ),
        (json!({"password_hash": "!", "tags": ""}), json!(["not_base64", "!"])),
        (json!({"password": 5, "tags": ""}), json!("password should be a string, actually was 5")),
        (json!({"tags": [5]}), json!("tags should be an array of strings, actually was 5")),
        (
            json!({"password_hash": "AQIDBA==", "tags": "", "hashing_algorithm": "rabbit_password_hashing_md5"}),
            json!("password_hash has 4 bytes; rabbit_password_hashing_md5 has 20"),
        ),
        (
            json!({"tags": "", "limits": {"max-x": 1}}),
            json!("Unrecognised terms [{<<\"max-x\">>,1}] in user-limits"),
        ),
    ] {
        assert_eq!(api.refused("users/u", &body), reason);
    }
    assert_eq!(api.get("users/nope"), not_found());
    assert_eq!((api.delete("users/u"), api.delete("users/u")), (204, 404));
}

#[test]
fn permissions() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("users/u", &json!({"tags": ""}));
    let body = json!({"configure": "c", "write": "", "read": "r"});
    assert_eq!((api.change("permissions/%2F/u", &body), api.change("permissions/%2F/u", &body)), (201, 204));
    let expected = json!({"user": "u", "vhost": "/", "configure": "c", "write": "", "read": "r"});
    assert_eq!(api.found("permissions/%2F/u"), expected);
    assert_eq!(api.found("users/u/permissions"), json!([expected]));
    assert_eq!(api.found("vhosts/%2F/permissions")[1], expected);
    assert_eq!(api.found("permissions").as_array().unwrap().len(), 2);
    assert_eq!(
        api.refused("permissions/%2F/u", &json!({"configure": ""})),
        "[{key_missing,write},{key_missing,read}]"
    );
    let unreadable = json!({"configure": "(", "write": "", "read": ""});
    assert!(
        api.refused("permissions/%2F/u", &unreadable).as_str().unwrap().starts_with("invalid_regexp '('")
    );
    for path in ["permissions/nope/u", "permissions/%2F/nope"] {
        assert_eq!(api.refused(path, &body), "vhost_or_user_not_found");
        assert_eq!((api.get(path), api.delete(path)), (not_found(), 404));
    }
    assert_eq!((api.delete("permissions/%2F/u"), api.delete("permissions/%2F/u")), (204, 404));
    assert_eq!(api.found("users/u/permissions"), json!([]));
    for path in ["users/nope/permissions", "vhosts/nope/permissions", "users/nope/topic-permissions"] {
        assert_eq!(api.get(path), not_found(), "{path}");
    }
}

#[test]
fn topic_permissions() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("users/u", &json!({"tags": ""}));
    let path = "topic-permissions/%2F/u";
    let body = |exchange: &str| json!({"exchange": exchange, "write": "a", "read": "{username}"});
    assert_eq!((api.change(path, &body("amq.topic")), api.change(path, &body("amq.topic"))), (201, 204));
    assert_eq!(api.change(path, &body("")), 201);
    let of = |exchange: &str| json!({"user": "u", "vhost": "/", "exchange": exchange, "write": "a", "read": "{username}"});
    let expected = json!([of(""), of("amq.topic")]);
    for listed in [path, "topic-permissions", "users/u/topic-permissions", "vhosts/%2F/topic-permissions"] {
        assert_eq!(api.found(listed), expected, "{listed}");
    }
    assert_eq!(api.refused(path, &body("nope")), json!(["no_such_exchange", "nope"]));
    assert_eq!(api.refused("topic-permissions/%2F/nope", &body("")), "vhost_or_user_not_found");
    assert_eq!(api.refused(path, &json!({"exchange": "", "write": ""})), "[{key_missing,read}]");
    let exchange = format!("{path}/amq.topic");
    assert_eq!((api.delete(&exchange), api.delete(&exchange)), (204, 204));
    assert_eq!(api.found(path), json!([of("")]));
    assert_eq!((api.delete(path), api.delete(path), api.delete(&exchange)), (204, 404, 404));
    assert_eq!(api.get(path), not_found());
}

#[test]
fn policies() {
    let managed = Managed::start();
    let api = &managed.api;
    let body = json!({
        "pattern": "^q", "definition": {"max-length": 5, "message-ttl": 1000.0}, "priority": 3,
        "apply-to": "queues", "vhost": "ignored", "name": "ignored",
    });
    assert_eq!((api.change("policies/%2F/p", &body), api.change("policies/%2F/p", &body)), (201, 204));
    let expected = json!({
        "vhost": "/", "name": "p", "pattern": "^q", "definition": {"max-length": 5, "message-ttl": 1000},
        "priority": 3, "apply-to": "queues",
    });
    assert_eq!(api.found("policies/%2F/p"), expected);
    let operator = json!({"pattern": "", "definition": {"max-length": 2}});
    assert_eq!(api.change("operator-policies/%2F/o", &operator), 201);
    let expected_operator = json!({
        "vhost": "/", "name": "o", "pattern": "", "definition": {"max-length": 2}, "priority": 0, "apply-to": "all",
    });
    for (kind, expected) in [("policies", expected), ("operator-policies", expected_operator)] {
        assert_eq!(api.found(kind), json!([expected]));
        assert_eq!(api.found(&format!("{kind}/%2F")), json!([expected]));
    }
    assert_eq!(api.get("policies/%2F/o"), not_found(), "of the other kind");
    let definition = json!({"max-length": 5});
    for (body, reason) in [
        (json!({"definition": definition}), "[{key_missing,pattern}]"),
        (json!({"pattern": "a"}), "[{key_missing,definition}]"),
        (
            json!({"pattern": 5, "definition": definition}),
            "Validation failed\n\npattern should be a binary but was 5\n",
        ),
        (json!({"pattern": "a", "definition": []}), "definition should be an object, actually was []"),
        (
            json!({"pattern": "a", "definition": definition, "priority": "4"}),
            "Validation failed\n\npriority should be a number, actually was <<\"4\">>\n",
        ),
        (
            json!({"pattern": "a", "definition": {"max-length": [1, {"a": 2}]}}),
            "Validation failed\n\n[1,#{<<\"a\">> => 2}] is not a valid maximum length\n",
        ),
        (
            json!({"pattern": "a", "definition": {"x".repeat(256): 1}}),
            "Validation failed\n\ndefinition: a field's name is 256 bytes long, 255 are allowed\n",
        ),
    ] {
        assert_eq!(api.refused("policies/%2F/p", &body), reason);
    }
    let missing = (404, json!({"error": "not_found", "reason": "vhost_not_found"}));
    assert_eq!(api.put("policies/nope/p", &operator), missing);
    assert_eq!((api.get("policies/nope"), api.delete("policies/nope/p")), (not_found(), 404));
    assert_eq!((api.delete("policies/%2F/p"), api.delete("policies/%2F/p")), (204, 404));
    assert_eq!((api.delete("operator-policies/%2F/o"), api.delete("operator-policies/%2F/o")), (204, 404));
}

#[test]
fn limits() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("users/u", &json!({"tags": ""}));
    for (kind, of, name, other) in [
        ("vhost-limits/%2F", json!({"vhost": "/"}), "max-queues", "max-connections"),
        ("user-limits/u", json!({"user": "u"}), "max-channels", "max-connections"),
    ] {
        let limit = format!("{kind}/{name}");
        assert_eq!(api.change(&limit, &json!({"value": 5})), 204);
        assert_eq!(api.change(&limit, &json!({"value": 6.0})), 204);
        assert_eq!(api.change(&format!("{kind}/{other}"), &json!({"value": -1})), 204);
        let mut expected = of.clone();
        expected["value"] = json!({name: 6, other: -1});
        assert_eq!(api.found(kind), json!([expected]));
        assert_eq!(api.found(kind.split('/').next().unwrap()), json!([expected]));
        assert_eq!(api.refused(&limit, &json!({})), "[{key_missing,value}]");
        for (value, printed) in [(json!("7"), "<<\"7\">>"), (json!(1.5), "1.5"), (json!(null), "null")] {
            let refused = api.refused(&limit, &json!({"value": value}));
            let text = format!("{name} should be a number, actually was {printed}");
            assert!(refused.as_str().unwrap().contains(&text), "{refused}");
        }
        let unknown = api.refused(&format!("{kind}/max-x"), &json!({"value": 7}));
        assert!(
            unknown.as_str().unwrap().contains("Unrecognised terms [{<<\"max-x\">>,7}] in "),
            "{unknown}"
        );
        assert_eq!(
            (api.delete(&limit), api.delete(&limit), api.delete(&format!("{kind}/max-x"))),
            (204, 204, 204)
        );
        assert_eq!(api.found(kind)[0]["value"], json!({other: -1}));
        assert_eq!(api.delete(&format!("{kind}/{other}")), 204);
        assert_eq!(api.found(kind), json!([]));
    }
    let missing = (404, json!({"error": "not_found", "reason": "vhost_not_found"}));
    assert_eq!(api.put("vhost-limits/nope/max-queues", &json!({"value": 1})), missing);
    assert_eq!(
        api.refused("user-limits/nope/max-channels", &json!({"value": 1})),
        json!(["no_such_user", "nope"])
    );
    assert_eq!((api.get("vhost-limits/nope"), api.get("user-limits/nope")), (not_found(), not_found()));
    assert_eq!((api.delete("vhost-limits/nope/x"), api.delete("user-limits/nope/x")), (404, 404));
}

#[test]
fn queues_and_exchanges() {
    let managed = Managed::start();
    let api = &managed.api;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _connection = runtime.block_on(async {
        let connection = lapin_client::connect(&managed.broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let arguments =
            lapin_client::arguments(&[("x-max-length", 7.into()), ("note", lapin_client::text("n"))]);
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("a/b".into(), durable, arguments.clone()).await.unwrap();
        let own =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("own".into(), own, FieldTable::default()).await.unwrap();
        let options = ExchangeDeclareOptions { internal: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare("x".into(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .unwrap();
        connection
    });
    api.change("policies/%2F/p", &json!({"pattern": "^a/b$|^x$", "definition": {"max-length": 5}}));
    let queue = api.found("queues/%2F/a%2Fb");
    for (field, expected) in [
        ("name", json!("a/b")),
        ("vhost", json!("/")),
        ("type", json!("classic")),
        ("durable", json!(true)),
        ("auto_delete", json!(false)),
        ("exclusive", json!(false)),
        // The type is there as RabbitMQ has it, though the client did not say it.
        ("arguments", json!({"x-max-length": 7, "note": "n", "x-queue-type": "classic"})),
        ("policy", json!("p")),
        ("effective_policy_definition", json!({"max-length": 5})),
        ("operator_policy", Value::Null),
    ] {
        assert_eq!(queue[field], expected, "{field}");
    }
    let own = api.found("queues/%2F/own");
    assert_eq!(
        (&own["exclusive"], &own["auto_delete"], &own["durable"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert_eq!((own.get("policy"), &own["effective_policy_definition"]), (Some(&Value::Null), &json!({})));
    assert_eq!(names(&api.found("queues")), ["a/b", "own"]);
    assert_eq!(names(&api.found("queues/%2F")), ["a/b", "own"]);
    let exchange = api.found("exchanges/%2F/x");
    assert_eq!(
        (&exchange["type"], &exchange["internal"], &exchange["policy"]),
        (&json!("topic"), &json!(true), &json!("p"))
    );
    assert_eq!(api.found("exchanges/%2F/amq.default")["name"], "");
    api.change("vhosts/v", &json!({}));
    assert_eq!(names(&api.found("exchanges/v"))[..2], ["", "amq.direct"]);
    assert!(api.found("exchanges").as_array().unwrap().len() > 12);
    assert_eq!(api.found("queues/v"), json!([]));
    for path in ["queues/nope", "queues/%2F/nope", "exchanges/nope", "exchanges/%2F/nope", "queues/nope/a"] {
        assert_eq!(api.get(path), not_found(), "{path}");
    }
}

#[test]
fn a_long_listing_is_whole_and_in_order() {
    let managed = Managed::start();
    for number in 0..600 {
        let name = format!("u{number:03}");
        assert_eq!(managed.api.change(&format!("users/{name}"), &json!({"tags": ""})), 201);
    }
    let listed = managed.api.found("users");
    let names = names(&listed);
    assert_eq!((names.len(), names[0], names[600]), (601, "guest", "u599"));
    assert!(names.is_sorted());
}

#[test]
fn connections() {
    let managed = Managed::start();
    let api = &managed.api;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connect = || {
        let uri = managed.broker.uri();
        runtime.block_on(Connection::connect(&uri, ConnectionProperties::default())).unwrap()
    };
    let connection = connect();
    let _channel = runtime.block_on(connection.create_channel()).unwrap();
    let listed = api.found("connections");
    let described = &listed[0];
    for (field, expected) in [
        ("user", json!("guest")),
        ("vhost", json!("/")),
        ("channels", json!(1)),
        ("state", json!("running")),
        ("protocol", json!("AMQP 0-9-1")),
        ("peer_host", json!("127.0.0.1")),
        ("port", json!(managed.broker.port())),
    ] {
        assert_eq!(described[field], expected, "{field}");
    }
    let name = described["name"].as_str().unwrap();
    let path = format!("connections/{}", name.replace(' ', "%20").replace('>', "%3E"));
    // What is not there is null in a listing, and nothing where it is one connection, as RabbitMQ has it.
    let mut alone = described.clone();
    for value in alone.as_object_mut().unwrap().values_mut().filter(|value| value.is_null()) {
        *value = json!("");
    }
    assert_eq!(api.found(&path), alone);
    assert_eq!(api.found("vhosts/%2F/connections"), listed);
    let short = json!([{"name": name, "vhost": "/", "user": "guest", "node": "leveret@localhost"}]);
    assert_eq!(api.found("connections/username/guest"), short);
    assert_eq!(api.found("connections/username/nope"), json!([]));
    assert_eq!(api.get("vhosts/nope/connections"), not_found());

    let mut events = connection.events_listener();
    assert_eq!(api.call("DELETE", &path, &[("X-Reason", "because")], &[]).0, 204);
    assert_eq!(farewell(&runtime, &mut events), "CONNECTION_FORCED - because");
    is_alone(api);
    assert_eq!((api.get(&path), api.delete(&path)), (not_found(), 404));

    let connection = connect();
    let mut events = connection.events_listener();
    assert_eq!(api.delete("connections/username/guest"), 204);
    assert_eq!(farewell(&runtime, &mut events), "CONNECTION_FORCED - Closed via management plugin");
    is_alone(api);
    assert_eq!(api.delete("connections/username/guest"), 204);
}

/// The text of the connection.close that comes.
fn farewell(
    runtime: &tokio::runtime::Runtime,
    events: &mut (impl futures_lite::Stream<Item = lapin::Event> + Unpin),
) -> String {
    use futures_lite::StreamExt;
    let told = async {
        loop {
            match events.next().await {
                Some(lapin::Event::Error(error)) => match error.kind() {
                    lapin::ErrorKind::ProtocolError(error) => break error.get_message().to_string(),
                    _ => break error.to_string(),
                },
                Some(_) => {}
                None => break "nothing".to_owned(),
            }
        }
    };
    runtime.block_on(async { tokio::time::timeout(lapin_client::PATIENCE, told).await }).unwrap()
}

/// Waits until nobody is connected.
fn is_alone(api: &Api) {
    let since = std::time::Instant::now();
    while api.found("connections") != json!([]) {
        assert!(since.elapsed() < lapin_client::PATIENCE, "the connection is still listed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
