//! Definitions: out of one broker and into another, as a whole and of a vhost; what cannot be imported is named, or nothing is; and
//! what is loaded at a start.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::api::{Api, Managed};

fn post(api: &Api, path: &str, body: &Value) -> (u16, Value) {
    api.call("POST", path, &[], body.to_string().as_bytes())
}

fn filled() -> Managed {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("cluster-name", &json!({"name": "one"}));
    api.change(
        "vhosts/a%2Fb%25%22%C3%BC",
        &json!({"description": "d", "tags": ["t"], "default_queue_type": "quorum"}),
    );
    let v = "a%2Fb%25%22%C3%BC";
    api.change(
        "users/u%22",
        &json!({"password": "p", "tags": "management,own", "limits": {"max-channels": 7}}),
    );
    api.change(&format!("permissions/{v}/u%22"), &json!({"configure": "^a", "write": "", "read": ".*"}));
    api.change(
        &format!("topic-permissions/{v}/u%22"),
        &json!({"exchange": "amq.topic", "write": "a", "read": "b"}),
    );
    api.change(&format!("vhost-limits/{v}/max-queues"), &json!({"value": 50}));
    let policy =
        json!({"pattern": "^q", "definition": {"max-length": 5}, "priority": 2, "apply-to": "queues"});
    api.change(&format!("policies/{v}/p%2F"), &policy);
    api.change(&format!("operator-policies/{v}/o"), &policy);
    api.change("global-parameters/g", &json!({"value": {"a": [1, "b"]}}));
    api.change(
        &format!("exchanges/{v}/x%2F"),
        &json!({"type": "topic", "durable": true, "arguments": {"alternate-exchange": "y"}}),
    );
    api.change(&format!("exchanges/{v}/internal"), &json!({"internal": true, "durable": true}));
    api.change(
        &format!("queues/{v}/q%25"),
        &json!({"durable": true, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 3}}),
    );
    api.change(&format!("queues/{v}/transient"), &json!({"arguments": {"x-queue-type": "classic"}}));
    api.change(&format!("topic-permissions/{v}/u%22"), &json!({"exchange": "x/", "write": "a", "read": "b"}));
    for (to, key) in [("q/q%25", "a.#"), ("q/transient", "ü \" %"), ("e/internal", "")] {
        let path = format!("bindings/{v}/e/x%2F/{to}");
        assert_eq!(
            post(api, &path, &json!({"routing_key": key, "arguments": {"h": 1, "t": {"l": [true]}}})).0,
            201
        );
    }
    managed
}

#[test]
fn a_broker_is_filled_from_another_ones_definitions() {
    let (one, other) = (filled(), Managed::start());
    let definitions = one.api.found("definitions");
    for (section, count) in [
        ("users", 2),
        ("vhosts", 2),
        ("permissions", 3),
        ("topic_permissions", 2),
        ("parameters", 2),
        ("global_parameters", 2),
        ("policies", 1),
        ("queues", 2),
        ("exchanges", 2),
        ("bindings", 3),
    ] {
        assert_eq!(definitions[section].as_array().map(Vec::len), Some(count), "{section}: {definitions}");
    }
    assert_eq!(post(&other.api, "definitions", &definitions), (204, Value::Null));
    assert_eq!(other.api.found("definitions"), definitions);
    // Again it changes nothing, and it is on disk.
    assert_eq!(post(&other.api, "definitions", &definitions), (204, Value::Null));
    let Managed { mut broker, api, .. } = other;
    broker.kill();
    broker.restart();
    let mut recovered = api.found("definitions");
    // What is transient has gone, and what led to it.
    assert_eq!(recovered["queues"].as_array().map(Vec::len), Some(1));
    for section in ["queues", "bindings"] {
        recovered[section] = definitions[section].clone();
    }
    assert_eq!(recovered, definitions);
    // The user may log in as before.
    assert_eq!(Api::new(one.port, "u\":p").get("whoami").0, 200);
}

#[test]
fn a_vhost_is_filled_from_another_one() {
    let managed = filled();
    let of_one = managed.api.found("definitions/a%2Fb%25%22%C3%BC");
    assert_eq!(of_one["queues"][0].get("vhost"), None);
    managed
        .api
        .change("vhosts/copy", &json!({"description": "d", "tags": ["t"], "default_queue_type": "quorum"}));
    assert_eq!(post(&managed.api, "definitions/copy", &of_one), (204, Value::Null));
    let copy = managed.api.found("definitions/copy");
    for section in ["parameters", "policies", "queues", "exchanges", "bindings", "metadata", "limits"] {
        assert_eq!(copy[section], of_one[section], "{section}");
    }
    assert_eq!(managed.api.get("definitions/none").0, 400);
}

#[test]
fn what_cannot_be_imported_is_named_or_nothing_is() {
    let managed = Managed::start();
    let api = &managed.api;
    let file = json!({
        "vhosts": [{"name": "v"}],
        "permissions": [{"user": "nobody", "vhost": "v", "configure": "", "write": "", "read": ""}],
        "policies": [{"vhost": "v", "name": "ha", "pattern": "", "definition": {"ha-mode": "all"}}],
        "queues": [
            {"name": "s", "vhost": "v", "durable": true, "arguments": {"x-queue-type": "stream"}},
            {"name": "q", "vhost": "v", "durable": true, "auto_delete": false, "arguments": {}},
        ],
        "bindings": [{"source": "amq.direct", "vhost": "v", "destination": "s", "destination_type": "queue", "routing_key": "", "arguments": {}}],
    });
    let before = api.found("definitions");
    let (status, said) = post(api, "definitions?strict=true", &file);
    assert_eq!((status, &said["error"]), (400, &json!("bad_request")), "{said}");
    assert_eq!(api.found("definitions"), before);
    let (status, said) = post(api, "definitions", &file);
    assert_eq!(status, 200, "{said}");
    let left_out: Vec<&str> =
        said["left_out"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(left_out.len(), 4, "{left_out:?}");
    for what in ["queue 's'", "user 'nobody'", "policy 'ha'", "leads to 's'"] {
        assert!(left_out.iter().any(|text| text.contains(what)), "{what}: {left_out:?}");
    }
    assert_eq!((api.get("queues/v/q").0, api.get("queues/v/s").0, api.get("vhosts/v").0), (200, 404, 200));
    // Broken in the middle: nothing of it where it is to be strict, and no object is nothing at all.
    let broken = json!({"vhosts": [{"name": "w"}], "queues": [{"name": "q"}]});
    assert_eq!(post(api, "definitions?strict=true", &broken).0, 400);
    assert_eq!(post(api, "definitions", &json!([broken])).0, 400);
    assert_eq!(api.get("vhosts/w").0, 404);
    let without = json!({"left_out": ["the queue 'q': vhost is missing"]});
    assert_eq!(post(api, "definitions", &broken), (200, without));
    assert_eq!((api.get("vhosts/w").0, api.delete("vhosts/w")), (200, 204));
    let form = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f.json\"\r\n\r\n{\"vhosts\":[{\"name\":\"w\"}]}\r\n--b--\r\n";
    let kind = [("content-type", "multipart/form-data; boundary=b")];
    assert_eq!(api.call("POST", "definitions", &kind, form.as_bytes()).0, 204);
    assert_eq!(api.get("vhosts/w").0, 200);
}

#[test]
fn what_a_strict_import_cannot_do_is_known_before_anything_is_done() {
    let managed = Managed::start();
    let api = &managed.api;
    api.change("vhosts/v", &json!({}));
    api.change("vhost-limits/v/max-queues", &json!({"value": 1}));
    let before = api.found("definitions");
    let queue = |name: &str| json!({"name": name, "vhost": "v", "arguments": {}});
    let bound = |to: &str, arguments: Value| json!({"source": "x", "vhost": "v", "destination": to, "destination_type": "queue", "routing_key": "k", "arguments": arguments});
    let exchange = |kind: &str, arguments: Value| json!({"name": "x", "vhost": "v", "type": kind, "arguments": arguments});
    let topics = json!({"user": "guest", "vhost": "v", "exchange": "none", "write": "", "read": ""});
    let ttl = json!({"x-message-ttl": "a"});
    for (section, second, why) in [
        ("queues", queue("second"), "queue limit in vhost 'v' (1) is reached"),
        ("queues", json!({"name": "q", "vhost": "w"}), "vhost 'w' does not exist"),
        ("queues", json!({"name": "second", "vhost": "v", "arguments": ttl}), "invalid arg 'x-message-ttl'"),
        ("topic_permissions", topics, "exchange 'none' does not exist"),
        ("exchanges", exchange("topic", json!({"alternate-exchange": 5})), "invalid type"),
        ("bindings", bound("q", json!({})), "from 'x' to 'q'"),
        ("bindings", bound("none", json!({})), "leads to 'none'"),
        ("global_parameters", json!({"name": "x".repeat(256), "value": 1}), "name is 256 bytes long"),
    ] {
        // It would have weights for routing keys.
        let mut file =
            json!({"queues": [queue("q")], "exchanges": [exchange("x-consistent-hash", json!({}))]});
        match &mut file[section] {
            Value::Array(items) if section == "queues" => items.push(second),
            place => *place = json!([second]),
        }
        let (status, said) = post(api, "definitions?strict=true", &file);
        assert!(status == 400 && said.to_string().contains(why), "{section}: {said}");
        assert_eq!(api.found("definitions"), before, "{section}");
        // Otherwise all else is imported.
        let (status, said) = post(api, "definitions", &file);
        assert_eq!((status, said["left_out"].as_array().map(Vec::len)), (200, Some(1)), "{section}: {said}");
        assert_eq!(api.delete("queues/v/q"), 204);
        api.delete("exchanges/v/x");
    }
}

/// What left out: how it begins.
fn imported_from(file: &str, left_out: &[&str]) -> Managed {
    let managed = Managed::start();
    let file: Value = serde_json::from_str(file).unwrap();
    let before = managed.api.found("definitions");
    let (status, said) = post(&managed.api, "definitions?strict=true", &file);
    assert_eq!((status, &said["error"]), (400, &json!("bad_request")), "{said}");
    assert_eq!(managed.api.found("definitions"), before);
    let (status, said) = post(&managed.api, "definitions", &file);
    assert_eq!(status, 200, "{said}");
    let named: Vec<&str> =
        said["left_out"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(named.len(), left_out.len(), "{named:#?}");
    for (named, expected) in named.iter().zip(left_out) {
        assert!(named.starts_with(expected), "{named} is not {expected}");
    }
    managed
}

fn names(definitions: &Value, section: &str, vhost: &str) -> Vec<String> {
    let of_vhost = definitions[section].as_array().unwrap().iter().filter(|item| item["vhost"] == vhost);
    let mut names: Vec<String> = of_vhost.map(|item| item["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_of_rabbitmq_3_10_is_imported() {
    let v = "old/ \"ü\"";
    let managed = imported_from(
        include_str!("../../conformance/definitions/rabbitmq-3.10.json"),
        &[
            "the parameter 'up' of federation-upstream in vhost 'old/ \"ü\"'",
            "the parameter 'sh' of shovel in vhost 'old/ \"ü\"'",
            "'ha-mode', 'queue-master-locator' of the policy 'ha and ttl' in vhost 'old/ \"ü\"'",
            "the argument x-queue-version 1 of the queue 'q-v1' in vhost 'old/ \"ü\"'",
            "the queue 'stream' in vhost 'old/ \"ü\"', of type stream",
            "policy 'federated' in vhost 'old/ \"ü\"': Validation failed",
            "policy 'ha' in vhost 'old/ \"ü\"': Validation failed",
            "a binding leads to 'stream' in vhost 'old/ \"ü\"', which does not exist",
        ],
    );
    let definitions = managed.api.found("definitions");
    assert_eq!(names(&definitions, "queues", v), ["q-mirrored", "q-v1", "q-v2", "quorum", "transient"]);
    assert_eq!(names(&definitions, "policies", v), ["exchanges", "ha and ttl"]);
    assert_eq!(names(&definitions, "parameters", v), ["limits", "op"]);
    assert_eq!(names(&definitions, "exchanges", v).len(), 8);
    let bindings = definitions["bindings"].as_array().unwrap();
    assert_eq!(bindings.len(), 3, "{bindings:?}");
    // The users may log in as before.
    assert_eq!(Api::new(managed.port, "old:p").get("whoami").0, 200);
    let described = managed.api.found("queues/old%2F%20%22%C3%BC%22/q-mirrored");
    // The type is among the arguments whether it was asked for or not (semantics 7.12).
    let arguments =
        json!({"x-queue-mode": "lazy", "x-queue-master-locator": "min-masters", "x-queue-type": "classic"});
    assert_eq!((&described["arguments"], &described["policy"]), (&arguments, &json!("ha and ttl")));
}

#[test]
fn a_file_of_rabbitmq_4_0_is_imported() {
    let v = "old/ \"ü\" 4";
    let managed = imported_from(
        include_str!("../../conformance/definitions/rabbitmq-4.0.json"),
        &[
            "the default queue type stream of vhost 'old-streams'",
            "the parameter 'sh' of shovel in vhost",
            "the exchange 'federated' in vhost 'old/ \"ü\" 4', of type x-federation-upstream",
            "the queue 'stream' in vhost",
            "a binding leads to 'stream' in vhost",
        ],
    );
    let definitions = managed.api.found("definitions");
    assert_eq!(names(&definitions, "queues", v), ["classic", "quorum"]);
    assert_eq!(names(&definitions, "policies", v), ["p", "streams"]);
    let vhost = managed.api.found("vhosts/old%2F%20%22%C3%BC%22%204");
    assert_eq!((&vhost["default_queue_type"], &vhost["tags"]), (&json!("quorum"), &json!(["a"])));
    assert_eq!(managed.api.found("cluster-name"), json!({"name": "rabbit@old"}));
}

#[test]
fn others_are_served_while_much_is_imported() {
    const QUEUES: usize = 5000;
    let managed = Managed::start();
    let queues: Vec<Value> = (0..QUEUES)
        .map(|number| json!({"name": format!("q{number}"), "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}))
        .collect();
    let bindings: Vec<Value> = (0..QUEUES)
        .map(|number| json!({"source": "amq.direct", "vhost": "/", "destination": format!("q{number}"), "destination_type": "queue", "routing_key": "k", "arguments": {}}))
        .collect();
    // Few of each, so that what is told in pieces ends within one and behind one.
    let exchanges: Vec<Value> =
        (0..700).map(|number| json!({"name": format!("x{number}"), "vhost": "/", "type": "topic"})).collect();
    let few = (0..700 * 3).map(|number| json!({"source": format!("x{}", number / 3), "vhost": "/", "destination": format!("q{number}"), "destination_type": "queue", "routing_key": "k", "arguments": {}}));
    let bindings: Vec<Value> = bindings.into_iter().chain(few).collect();
    let file = json!({"queues": queues, "exchanges": exchanges, "bindings": bindings});
    let importing = std::thread::scope(|scope| {
        let import = scope.spawn(|| post(&managed.api, "definitions", &file));
        let other = managed.as_user("guest:guest");
        let mut declared = 0;
        while !import.is_finished() {
            assert_eq!(other.put(&format!("queues/%2F/other{declared}"), &json!({})).0, 201);
            declared += 1;
        }
        import.join().unwrap()
    });
    assert_eq!(importing, (204, Value::Null));
    let listed = managed.api.found("definitions");
    assert!(listed["queues"].as_array().unwrap().len() >= QUEUES);
    let routes = |file: &Value| -> BTreeSet<String> {
        let of_binding = |binding: &Value| format!("{} {}", binding["source"], binding["destination"]);
        file["bindings"].as_array().unwrap().iter().map(of_binding).collect()
    };
    assert_eq!(listed["bindings"].as_array().unwrap().len(), bindings.len());
    assert_eq!(routes(&listed), routes(&file));
}

#[test]
fn definitions_are_loaded_at_the_start_before_clients_come() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("definitions.json");
    let definitions = json!({"vhosts": [{"name": "loaded"}],
        "permissions": [{"user": "guest", "vhost": "loaded", "configure": ".*", "write": ".*", "read": ".*"}],
        "queues": [{"name": "q", "vhost": "loaded", "durable": true, "arguments": {}}]});
    fs::write(&file, definitions.to_string()).unwrap();
    let arguments = ["--load-definitions", file.to_str().unwrap(), "--skip-unchanged-definitions"];
    let Managed { mut broker, api, .. } = Managed::start_with(&arguments);
    assert_eq!(api.get("queues/loaded/q").0, 200);
    // The same file is not loaded again.
    assert_eq!(api.delete("queues/loaded/q"), 204);
    assert!(broker.terminate());
    broker.restart();
    assert_eq!(api.get("queues/loaded/q").0, 404);
    fs::write(&file, format!("{definitions} ")).unwrap();
    assert!(broker.terminate());
    broker.restart();
    assert_eq!(api.get("queues/loaded/q").0, 200);
}

#[test]
fn vhosts_are_protected_and_parameters_kept() {
    let Managed { mut broker, api, .. } = Managed::start();
    api.change("vhosts/v", &json!({}));
    assert_eq!(post(&api, "vhosts/v/deletion/protection", &Value::Null), (204, Value::Null));
    api.change("global-parameters/p", &json!({"value": {"a": 1}}));
    api.change("cluster-name", &json!({"name": "c"}));
    broker.kill();
    broker.restart();
    let why = "Refusing to delete virtual host 'v' because it is protected from deletion";
    let refused = (412, json!({"error": "precondition_failed", "reason": why}));
    assert_eq!(api.call("DELETE", "vhosts/v", &[], &[]), refused);
    assert_eq!(api.found("vhosts/v")["protected_from_deletion"], true);
    assert_eq!(api.found("global-parameters/p"), json!({"name": "p", "value": {"a": 1}}));
    assert_eq!(api.found("cluster-name"), json!({"name": "c"}));
    assert_eq!((api.delete("vhosts/v/deletion/protection"), api.delete("vhosts/v")), (204, 204));
    assert_eq!((api.delete("global-parameters/p"), api.delete("global-parameters/p")), (204, 404));
    api.change("parameters/vhost-limits/%2F/limits", &json!({"value": {"max-queues": 10}}));
    assert_eq!(api.found("vhost-limits/%2F"), json!([{"vhost": "/", "value": {"max-queues": 10}}]));
    assert_eq!(api.delete("parameters/vhost-limits/%2F/limits"), 204);
    assert_eq!(api.found("parameters"), json!([]));
}

#[test]
fn only_names_of_this_machine_are_answered() {
    let managed = Managed::start_with(&["--management-host", "proxy.example"]);
    let named = |host: &str| managed.api.call("GET", "whoami", &[("host", host)], &[]).0;
    for own in ["localhost", "127.0.0.1:1", "[::1]", "proxy.example"] {
        assert_eq!(named(own), 200, "{own}");
    }
    for other in ["example.org", "10.0.0.1:15672"] {
        assert_eq!(named(other), 421, "{other}");
    }
}
