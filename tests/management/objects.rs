//! What is declared, bound, published and got over HTTP: as RabbitMQ does it, with the caller's own permissions, and with nothing
//! left behind.

use serde_json::{Value, json};

use crate::api::{Answered, Managed, not_found};

fn access_refused() -> Answered {
    (401, json!({"error": "not_authorised", "reason": "Access refused."}))
}

fn bad(reason: impl Into<Value>) -> Answered {
    (400, json!({"error": "bad_request", "reason": reason.into()}))
}

fn missing(reason: &str) -> Answered {
    (404, json!({"error": "not_found", "reason": reason}))
}

impl Managed {
    fn post(&self, path: &str, body: &Value) -> Answered {
        self.api.call("POST", path, &[], body.to_string().as_bytes())
    }

    /// Publishes to the default exchange, in any case to a queue.
    fn publish(&self, queue: &str, payload: &str) {
        let body =
            json!({"properties": {}, "routing_key": queue, "payload": payload, "payload_encoding": "string"});
        let routed = (200, json!({"routed": true}));
        assert_eq!(self.post("exchanges/%2F/amq.default/publish", &body), routed);
    }

    /// The payloads that are got, and how the queue was left behind each.
    fn got(&self, queue: &str, count: i64, mode: &str) -> Vec<(String, bool, u64)> {
        let body = json!({"count": count, "ackmode": mode, "encoding": "auto"});
        let (status, got) = self.post(&format!("queues/%2F/{queue}/get"), &body);
        assert_eq!(status, 200, "{got}");
        let one = |message: &Value| {
            let payload = message["payload"].as_str().unwrap().to_owned();
            (payload, message["redelivered"] == true, message["message_count"].as_u64().unwrap())
        };
        got.as_array().unwrap().iter().map(one).collect()
    }
}

#[test]
fn exchanges_are_declared_and_deleted() {
    let managed = Managed::start();
    let api = &managed.api;
    assert_eq!(api.put("exchanges/%2F/x", &json!({})), (201, Value::Null));
    assert_eq!(api.put("exchanges/%2F/x", &json!({})), (204, Value::Null));
    let exchange = api.found("exchanges/%2F/x");
    assert_eq!((&exchange["type"], &exchange["durable"]), (&json!("direct"), &json!(false)));
    let other = api.refused("exchanges/%2F/x", &json!({"type": "topic"}));
    let inequivalent =
        "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but current is 'direct'";
    assert_eq!(other, inequivalent);
    assert_eq!(api.refused("exchanges/%2F/y", &json!({"type": "nope"})), "unknown exchange type 'nope'");
    assert_eq!(api.refused("exchanges/%2F/y", &json!({"durable": 5})), json!(["not_boolean", 5]));
    assert_eq!(api.refused("exchanges/%2F/y", &json!({"arguments": {"a": null}})), "null_not_allowed");
    let elsewhere = api.refused("exchanges/%2F/y", &json!({"node": "other@host"}));
    assert_eq!(elsewhere, "Node other@host is not a cluster member");
    assert_eq!(api.put("exchanges/none/x", &json!({})), missing("vhost_not_found"));
    for reserved in ["amq.own", "amq.default"] {
        assert_eq!(
            api.put(&format!("exchanges/%2F/{reserved}"), &json!({"durable": true})),
            access_refused()
        );
    }
    assert_eq!(api.call("DELETE", "exchanges/%2F/amq.direct", &[], &[]), access_refused());
    api.change("queues/%2F/q", &json!({"durable": true}));
    assert_eq!(managed.post("bindings/%2F/e/x/q/q", &json!({})).0, 201);
    let in_use = api.call("DELETE", "exchanges/%2F/x?if-unused=true", &[], &[]);
    assert_eq!(in_use, bad("exchange 'x' in vhost '/' in use"));
    assert_eq!((api.delete("exchanges/%2F/x"), api.delete("exchanges/%2F/x")), (204, 404));
}

#[test]
fn queues_are_declared_purged_and_deleted() {
    let managed = Managed::start();
    let api = &managed.api;
    assert_eq!(api.call("PUT", "queues/%2F/transient", &[], b""), (201, Value::Null));
    let transient = api.found("queues/%2F/transient");
    assert_eq!((&transient["durable"], &transient["type"]), (&json!(false), &json!("classic")));
    let name = "a%2Fb%20%25%C3%BC";
    let arguments = json!({"x-message-ttl": 60000.0, "x-max-priority": 3});
    let declared = json!({"durable": "true", "arguments": arguments});
    assert_eq!(api.put(&format!("queues/%2F/{name}"), &declared), (201, Value::Null));
    let queue = api.found(&format!("queues/%2F/{name}"));
    assert_eq!((&queue["name"], &queue["durable"]), (&json!("a/b %ü"), &json!(true)));
    assert_eq!(queue["arguments"]["x-message-ttl"], 60000);
    assert_eq!(api.put("queues/%2F/amq.q", &json!({"durable": true})), access_refused());
    let wrong = api.refused("queues/%2F/q", &json!({"arguments": {"x-max-length": "a"}}));
    let why = "invalid arg 'x-max-length' for queue 'q' in vhost '/': \"expected integer, got longstr\"";
    assert_eq!(wrong, why);
    api.change("queues/%2F/q", &json!({"durable": true}));
    managed.publish("q", "one");
    let not_empty = api.call("DELETE", "queues/%2F/q?if-empty=true", &[], &[]);
    assert_eq!(not_empty, bad("queue 'q' in vhost '/' not empty"));
    assert_eq!((api.delete("queues/%2F/q/contents"), api.delete("queues/%2F/none/contents")), (204, 404));
    assert_eq!(api.found("queues/%2F/q")["messages"], 0);
    assert_eq!(
        managed.post("queues/%2F/q/actions", &json!({"action": "sync"})),
        bad(json!(["unknown", "sync"]))
    );
    assert_eq!(api.delete("queues/%2F/q?if-empty=true&if-unused=true"), 204);
    assert_eq!(api.call("DELETE", "queues/%2F/q", &[], &[]), not_found());
}

#[test]
fn bindings_are_found_by_the_keys_they_are_listed_with() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("queues/%2F/q%2F1", &json!({"durable": true}));
    let path = "bindings/%2F/e/amq.topic/q/q%2F1";
    for (routing_key, arguments) in [
        ("a.#", json!({})),
        ("a b/c", json!({"h": 1})),
        ("", json!({})),
        ("~", json!({})),
        ("%ü", json!({"x": true})),
    ] {
        let body = json!({"routing_key": routing_key, "arguments": arguments});
        assert_eq!(managed.post(path, &body), (201, Value::Null), "{body}");
        // Again is as good.
        assert_eq!(managed.post(path, &body).0, 201);
    }
    let listed = api.found(path);
    assert_eq!(listed.as_array().unwrap().len(), 5);
    for binding in listed.as_array().unwrap() {
        let key = binding["properties_key"].as_str().unwrap();
        // As a client puts it into a path.
        let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(api.found(&format!("{path}/{encoded}")), *binding);
        assert_eq!(api.delete(&format!("{path}/{encoded}")), 204, "{key}");
        assert_eq!(api.get(&format!("{path}/{encoded}")), not_found());
    }
    assert_eq!(api.found(path), json!([]));
    // Each queue is bound to the default exchange.
    let implied = json!([{
        "source": "", "vhost": "/", "destination": "q/1", "destination_type": "queue", "routing_key": "q/1",
        "arguments": {}, "properties_key": "q%2F1",
    }]);
    for path in
        ["bindings", "bindings/%2F", "queues/%2F/q%2F1/bindings", "exchanges/%2F/amq.default/bindings/source"]
    {
        assert_eq!(api.found(path), implied, "{path}");
    }
    assert_eq!(managed.post("bindings/%2F/e/amq.topic/e/amq.fanout", &json!({"routing_key": "k"})).0, 201);
    let to_exchange = api.found("exchanges/%2F/amq.fanout/bindings/destination");
    assert_eq!(to_exchange, api.found("exchanges/%2F/amq.topic/bindings/source"));
    assert_eq!(to_exchange, api.found("bindings/%2F/e/amq.topic/e/amq.fanout"));
    assert_eq!(
        (&to_exchange[0]["destination"], &to_exchange[0]["destination_type"]),
        (&json!("amq.fanout"), &json!("exchange"))
    );
    assert_eq!(
        managed.post("bindings/%2F/e/amq.topic/q/none", &json!({})),
        missing("no queue 'none' in vhost '/'")
    );
    assert_eq!(managed.post("bindings/%2F/e/amq.default/q/q%2F1", &json!({})), access_refused());
}

#[test]
fn many_bindings_of_few_and_few_of_many_are_all_listed() {
    let managed = Managed::start();
    managed.api.change("queues/%2F/q", &json!({}));
    for number in 0..1100 {
        let body = json!({"routing_key": format!("k{number}")});
        assert_eq!(managed.post("bindings/%2F/e/amq.direct/q/q", &body).0, 201);
    }
    for number in 0..600 {
        managed.api.change(&format!("exchanges/%2F/x{number:03}"), &json!({}));
    }
    assert_eq!(managed.post("bindings/%2F/e/x599/q/q", &json!({})).0, 201);
    for path in ["bindings", "queues/%2F/q/bindings"] {
        assert_eq!(managed.api.found(path).as_array().unwrap().len(), 1 + 1100 + 1, "{path}");
    }
    let found = managed.api.found("bindings/%2F/e/amq.direct/q/q/k1099");
    assert_eq!(found["routing_key"], "k1099");
}

#[test]
fn messages_are_published_and_got_as_they_are() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("queues/%2F/q", &json!({"durable": true}));
    let properties = json!({"message_id": "m", "delivery_mode": 2, "headers": {"a": 1}});
    let body = json!({"properties": properties, "routing_key": "q", "payload": "//4=", "payload_encoding": "base64"});
    assert_eq!(managed.post("exchanges/%2F/amq.default/publish", &body), (200, json!({"routed": true})));
    managed.publish("q", "hello");
    let body = json!({"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto", "truncate": 4});
    let got = managed.post("queues/%2F/q/get", &body);
    let expected = json!([
        {"payload_bytes": 2, "redelivered": false, "exchange": "", "routing_key": "q", "message_count": 1,
         "properties": properties, "payload": "//4=", "payload_encoding": "base64"},
        {"payload_bytes": 5, "redelivered": false, "exchange": "", "routing_key": "q", "message_count": 0,
         "properties": [], "payload": "hell", "payload_encoding": "string"},
    ]);
    assert_eq!(got, (200, expected));
    let unroutable =
        json!({"properties": {}, "routing_key": "zzz", "payload": "x", "payload_encoding": "string"});
    assert_eq!(
        managed.post("exchanges/%2F/amq.direct/publish", &unroutable),
        (200, json!({"routed": false}))
    );
    assert_eq!(managed.post("exchanges/%2F/none/publish", &unroutable), missing("exchange_not_found"));
    let lacking =
        bad("[{key_missing,routing_key},\n {key_missing,payload},\n {key_missing,payload_encoding}]");
    assert_eq!(managed.post("exchanges/%2F/amq.direct/publish", &json!({"properties": {}})), lacking);
    let claimed = json!({"properties": {"user_id": "x"}, "routing_key": "q", "payload": "x", "payload_encoding": "string"});
    let why = "406 PRECONDITION_FAILED - user_id property set to 'x' but authenticated user was 'guest'";
    assert_eq!(managed.post("exchanges/%2F/amq.default/publish", &claimed), bad(why));
    // A full queue refuses.
    api.change("queues/%2F/full", &json!({"arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}}));
    managed.publish("full", "x");
    let more = json!({"properties": {}, "routing_key": "full", "payload": "x", "payload_encoding": "string"});
    let refused = bad("rejected Unable to publish message. Check queue limits.");
    assert_eq!(managed.post("exchanges/%2F/amq.default/publish", &more), refused);
    // As large as a message may be, and larger.
    for (bytes, status) in [(16 << 20, 200), ((16 << 20) + 1, 400)] {
        let payload = "x".repeat(bytes);
        let large =
            json!({"properties": {}, "routing_key": "q", "payload": payload, "payload_encoding": "string"});
        assert_eq!(managed.post("exchanges/%2F/amq.default/publish", &large).0, status);
    }
}

#[test]
fn what_is_got_goes_or_goes_back_as_it_is_asked() {
    let managed = Managed::start();
    managed.api.change("queues/%2F/dead", &json!({}));
    let arguments = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"});
    managed.api.change("queues/%2F/q", &json!({"arguments": arguments}));
    for payload in ["a", "b", "c"] {
        managed.publish("q", payload);
    }
    let message = |payload: &str, again, left| (payload.to_owned(), again, left);
    assert_eq!(managed.got("q", 2, "ack_requeue_true"), [message("a", false, 2), message("b", false, 1)]);
    assert_eq!(managed.got("q", 1, "reject_requeue_true"), [message("a", true, 2)]);
    assert_eq!(managed.got("q", 1, "ack_requeue_false"), [message("a", true, 2)]);
    assert_eq!(managed.got("q", 1, "reject_requeue_false"), [message("b", true, 1)]);
    assert_eq!(managed.got("q", -1, "ack_requeue_false"), [message("c", false, 0)]);
    assert_eq!(managed.got("q", 1, "ack_requeue_false"), []);
    assert_eq!(managed.got("dead", 5, "ack_requeue_false"), [message("b", false, 0)]);
    let wrong = json!({"count": 1, "ackmode": "nope", "encoding": "auto"});
    assert_eq!(managed.post("queues/%2F/q/get", &wrong).0, 400);
    let none = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
    assert_eq!(managed.post("queues/%2F/none/get", &none), missing("queue_not_found"));
    let queue = managed.api.found("queues/%2F/q");
    assert_eq!((&queue["messages"], &queue["messages_unacknowledged"]), (&json!(0), &json!(0)));
    assert_eq!(managed.api.found("connections"), json!([]), "no client of HTTP is a connection");
}

#[test]
fn a_user_does_over_http_what_it_may_do_over_amqp() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("queues/%2F/q", &json!({"durable": true}));
    api.change("users/u", &json!({"password": "p", "tags": "management"}));
    api.change("permissions/%2F/u", &json!({"configure": "^mine", "write": "^mine", "read": "^mine"}));
    api.change("users/outside", &json!({"password": "p", "tags": "management"}));
    let (user, outside) = (managed.as_user("u:p"), managed.as_user("outside:p"));
    let post = |api: &crate::api::Api, path: &str, body: &Value| {
        api.call("POST", path, &[], body.to_string().as_bytes())
    };
    assert_eq!(user.put("queues/%2F/mine", &json!({"durable": true})), (201, Value::Null));
    assert_eq!(user.put("queues/%2F/other", &json!({"durable": true})), access_refused());
    assert_eq!(user.put("exchanges/%2F/other", &json!({})), access_refused());
    assert_eq!(user.call("DELETE", "queues/%2F/q", &[], &[]), access_refused());
    assert_eq!(user.call("DELETE", "queues/%2F/q/contents", &[], &[]), access_refused());
    assert_eq!(post(&user, "bindings/%2F/e/amq.direct/q/mine", &json!({})), access_refused());
    let message = json!({"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"});
    let why = "403 ACCESS_REFUSED - write access to exchange 'amq.direct' in vhost '/' refused for user 'u'";
    assert_eq!(post(&user, "exchanges/%2F/amq.direct/publish", &message), bad(why));
    let get = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let why = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'";
    let refused = (401, json!({"error": "not_authorised", "reason": why}));
    assert_eq!(post(&user, "queues/%2F/q/get", &get), refused);
    // For whom the vhost is none.
    for (method, path, body) in [
        ("PUT", "queues/%2F/q2", json!({})),
        ("DELETE", "queues/%2F/q", json!({})),
        ("POST", "queues/%2F/q/get", get),
        ("POST", "exchanges/%2F/amq.direct/publish", message),
        ("POST", "bindings/%2F/e/amq.direct/q/q", json!({})),
        ("GET", "bindings/%2F", json!({})),
    ] {
        let said = outside.call(method, path, &[], body.to_string().as_bytes());
        assert_eq!(said, missing("Not Found"), "{method} {path}");
    }
    assert_eq!(outside.found("bindings"), json!([]));
    // Who sees all vhosts has not all permissions in them.
    assert_eq!(api.delete("permissions/%2F/guest"), 204);
    assert_eq!(api.put("queues/%2F/q3", &json!({})), access_refused());
}
