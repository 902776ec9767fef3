//! What would be, without doing it: policies.

use serde_json::{Value, json};

use crate::socket::{ask, change, found};
use crate::support::Broker;

#[test]
fn a_policy_says_before_what_it_would_change() {
    let broker = Broker::start();
    let data = broker.data();
    for queue in ["orders", "other", "third"] {
        assert_eq!(change(data, "PUT", &format!("queues/%2F/{queue}"), &json!({"durable": true})), 201);
    }
    let policy =
        |pattern: &str, length: u32| json!({"pattern": pattern, "definition": {"max-length": length}});
    assert_eq!(change(data, "PUT", "policies/%2F/all", &policy("^o", 9)), 201);
    let preview =
        |name: &str, body: &Value| ask(data, "POST", &format!("leveret/policy-preview/%2F/{name}"), body);
    let said = preview(
        "better",
        &json!({"pattern": "^or", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}),
    );
    let nothing = json!({"policy": null, "operator_policy": null, "definition": {}});
    let obeys = |policy: &str, length: u32| json!({"policy": policy, "operator_policy": null, "definition": {"max-length": length}});
    assert_eq!(
        said.body,
        json!({"total": 1, "changes": [
            {"type": "queue", "name": "orders", "before": obeys("all", 9), "after": obeys("better", 5)},
        ]})
    );
    let said = preview("all", &json!({"delete": true}));
    assert_eq!(said.body["total"], 2, "{said:?}");
    assert_eq!(
        said.body["changes"][1],
        json!({"type": "queue", "name": "other", "before": obeys("all", 9), "after": nothing})
    );
    let said = preview("bound", &json!({"pattern": "", "definition": {"max-length": 3}, "operator": true}));
    assert_eq!(said.body["total"], said.body["changes"].as_array().unwrap().len());
    assert_eq!(
        said.body["changes"].as_array().unwrap().iter().filter(|change| change["type"] == "exchange").count(),
        7
    );
    let orders =
        said.body["changes"].as_array().unwrap().iter().find(|change| change["name"] == "orders").unwrap();
    assert_eq!(
        orders["after"],
        json!({"policy": "all", "operator_policy": "bound", "definition": {"max-length": 3}})
    );
    assert_eq!(preview("wrong", &policy("(", 1)).status, 400);
    assert_eq!(preview("wrong", &json!({"pattern": "a", "definition": {"max-length": -1}})).status, 400);
    assert_eq!(change(data, "POST", "leveret/policy-preview/none/p", &policy("", 1)), 404);
    // Nothing of all that was done.
    assert_eq!(found(data, "policies").as_array().unwrap().len(), 1);
    assert_eq!(found(data, "operator-policies"), json!([]));
    assert_eq!(found(data, "queues/%2F/orders")["policy"], "all");
}

#[test]
fn an_import_says_before_what_it_would_make_change_and_leave() {
    let broker = Broker::start();
    let data = broker.data();
    assert_eq!(change(data, "PUT", "vhosts/v", &json!({"description": "one"})), 201);
    assert_eq!(change(data, "PUT", "queues/v/q", &json!({"durable": true})), 201);
    assert_eq!(change(data, "PUT", "users/u", &json!({"password": "p", "tags": "monitoring"})), 201);
    let permissions = json!({"configure": "", "write": ".*", "read": ".*"});
    assert_eq!(change(data, "PUT", "permissions/v/u", &permissions), 201);
    assert_eq!(change(data, "POST", "bindings/v/e/amq.topic/q/q", &json!({"routing_key": "k"})), 201);
    assert_eq!(change(data, "PUT", "vhost-limits/v/max-queues", &json!({"value": 5})), 204);
    let before = found(data, "definitions");
    let foresee = |definitions: &Value| {
        let said = ask(data, "POST", "definitions?dry_run=true", definitions);
        assert_eq!(
            (said.status, &found(data, "definitions")),
            (200, &before),
            "nothing is changed: {said:?}"
        );
        said.body
    };

    let nothing = foresee(&before);
    assert_eq!(
        (&nothing["made"]["total"], &nothing["changed"]["total"]),
        (&json!(0), &json!(0)),
        "{nothing}"
    );
    assert!(nothing["left_alone"].as_u64() > Some(5) && nothing["left_out"] == json!([]), "{nothing}");

    let mut other = before.clone();
    let add = |definitions: &mut Value, to: &str, item: Value| {
        definitions[to].as_array_mut().unwrap().push(item);
    };
    add(&mut other, "vhosts", json!({"name": "new"}));
    add(
        &mut other,
        "queues",
        json!({"name": "q2", "vhost": "new", "durable": true, "auto_delete": false, "arguments": {}}),
    );
    add(
        &mut other,
        "bindings",
        json!({"source": "amq.topic", "vhost": "new", "destination": "q2", "destination_type": "queue", "routing_key": "k", "arguments": {}}),
    );
    add(
        &mut other,
        "bindings",
        json!({"source": "none", "vhost": "v", "destination": "q", "destination_type": "queue", "routing_key": "k", "arguments": {}}),
    );
    add(
        &mut other,
        "policies",
        json!({"vhost": "v", "name": "p", "pattern": "", "definition": {"max-length": 1}, "priority": 0, "apply-to": "all"}),
    );
    let of = |definitions: &mut Value, list: &str, name: &str| {
        let all = definitions[list].as_array().unwrap();
        all.iter().position(|item| item["name"] == name || item["user"] == name).unwrap()
    };
    let at = of(&mut other, "users", "u");
    other["users"][at]["tags"] = json!(["administrator"]);
    let at = of(&mut other, "permissions", "u");
    other["permissions"][at]["read"] = "a".into();
    let at = of(&mut other, "vhosts", "v");
    other["vhosts"][at]["metadata"]["description"] = "two".into();
    other["vhosts"][at]["description"] = "two".into();
    let said = foresee(&other);
    let named = |list: &str| -> Vec<String> {
        let things = said[list]["things"].as_array().unwrap();
        assert_eq!(said[list]["total"], things.len());
        let text = |thing: &Value, field: &str| thing[field].as_str().unwrap_or("-").to_owned();
        let mut named: Vec<_> = things
            .iter()
            .map(|thing| format!("{} {} {}", text(thing, "kind"), text(thing, "vhost"), text(thing, "name")))
            .collect();
        named.sort();
        named
    };
    assert_eq!(
        named("made"),
        ["binding new from amq.topic to queue q2 by \"k\"", "policy v p", "queue new q2", "vhost - new"]
    );
    assert_eq!(named("changed"), ["permissions v u", "user - u", "vhost - v"]);
    let left_out = said["left_out"].as_array().unwrap();
    assert!(left_out.len() == 1 && left_out[0].as_str().unwrap().contains("'none'"), "{said}");

    // It comes as it was foreseen.
    assert_eq!(change(data, "POST", "definitions", &other), 200);
    let said = ask(data, "POST", "definitions?dry_run=true", &other).body;
    assert_eq!((&said["made"]["total"], &said["changed"]["total"]), (&json!(0), &json!(0)), "{said}");
}
