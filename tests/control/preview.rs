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
    assert_eq!(said.body["changes"].as_array().unwrap().len(), said.body["total"].as_u64().unwrap() as usize);
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
