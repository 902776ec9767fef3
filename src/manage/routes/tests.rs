//! The tables walked: every path and method as nobody, as users without a tag and with each tag, and as one without permissions in
//! the vhost. Each is let in or refused as the tables say, and whatever is refused has changed nothing.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use super::table::{Endpoint, Right, Route, Segment};
use super::{TABLES, find};
use crate::config::{CommandLine, Verb};
use crate::manage::MANAGEMENT;
use crate::model::names::NODE;
use crate::server::{self, RunningBroker};

const TAGS: [&str; 5] = ["", "management", "policymaker", "monitoring", "administrator"];

fn started(data: &Path) -> (RunningBroker, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (data, listen) = (data.display().to_string(), format!("127.0.0.1:{port}"));
    let arguments =
        ["leveret", "--listen", "127.0.0.1:0", "--management-listen", &listen, "--data-dir", &data];
    let Verb::Serve(config) = CommandLine::parse_from(arguments).verb() else {
        unreachable!("serve is asked")
    };
    (server::start(config, MANAGEMENT).unwrap(), port)
}

struct Client(Agent, u16);

impl Client {
    /// The status and the reason that is given.
    fn ask(&self, credentials: Option<&str>, method: &str, path: &str, body: &str) -> (u16, Value) {
        let uri = format!("http://127.0.0.1:{}/api/{path}", self.1);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(credentials) = credentials {
            request =
                request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(credentials)));
        }
        let mut answer = self.0.run(request.body(body.to_owned()).unwrap()).unwrap();
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    fn guest(&self, method: &str, path: &str, body: &Value) {
        let (status, said) = self.ask(Some("guest:guest"), method, path, &body.to_string());
        assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
    }

    fn definitions(&self) -> Value {
        let (status, definitions) = self.ask(Some("guest:guest"), "GET", "definitions", "");
        assert_eq!(status, 200);
        definitions
    }
}

/// A path of a route, to what exists or to what does not.
fn path(route: &Route, exists: bool) -> String {
    let segments = route.path.iter().map(|segment| match segment {
        Segment::Fixed(text) => *text,
        Segment::Name("node") => NODE,
        Segment::Name("kind") => "q",
        Segment::Name("component") => "operator_policy",
        Segment::Name("within") => "1",
        Segment::Name("unit") => "days",
        Segment::Name("port") => "5672",
        Segment::Name("protocols") => "amqp",
        Segment::Name("limit") => "max-queues",
        Segment::Name("vhost") if exists => "v",
        Segment::Name("user") if exists => "victim",
        Segment::Name("queue" | "destination") if exists => "q",
        Segment::Name("exchange" | "source") if exists => "x",
        Segment::Name("policy" | "name") if exists => "p",
        Segment::Name("key") if exists => "k",
        Segment::Name(_) => "absent",
    });
    segments.collect::<Vec<_>>().join("/")
}

/// What a method might take, where there is one that changes something.
fn body(route: &Route, endpoint: &Endpoint) -> Value {
    let fixed = |wanted: &str| {
        route.path.iter().any(|segment| matches!(segment, Segment::Fixed(text) if *text == wanted))
    };
    match () {
        () if endpoint.method == hyper::Method::GET => Value::Null,
        () if fixed("users") && fixed("bulk-delete") => json!({"users": ["victim"]}),
        () if fixed("users") => json!({"password": "other", "tags": "administrator"}),
        () if fixed("topic-permissions") => json!({"exchange": "x", "write": "", "read": ""}),
        () if fixed("permissions") => json!({"configure": "", "write": "", "read": ""}),
        () if fixed("policies") || fixed("operator-policies") => {
            json!({"pattern": "other", "definition": {"max-length": 1}})
        }
        () if fixed("parameters") => json!({"value": {"pattern": "other", "definition": {"max-length": 1}}}),
        () if fixed("definitions") || fixed("all-configuration") => json!({"vhosts": [{"name": "another"}]}),
        () if fixed("publish") => {
            json!({"properties": {}, "routing_key": "k", "payload": "p", "payload_encoding": "string"})
        }
        () if fixed("get") => json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}),
        () if fixed("bindings") => json!({"routing_key": "another"}),
        () => json!({"value": 1, "name": "another", "durable": true, "description": "other"}),
    }
}

fn has(tag: &str, right: Right) -> bool {
    match right {
        Right::Nothing => true,
        Right::Management => !tag.is_empty(),
        Right::Policymaker => ["policymaker", "administrator"].contains(&tag),
        // Nobody who asks is the one in the path.
        Right::Monitoring | Right::SelfOrMonitoring => ["monitoring", "administrator"].contains(&tag),
        Right::Administrator | Right::SelfOrAdministrator => tag == "administrator",
    }
}

#[test]
fn everybody_may_do_what_the_tables_say_and_what_is_refused_is_not_done() {
    let data = tempfile::tempdir().unwrap();
    let (broker, port) = started(data.path());
    let client = Client(Agent::config_builder().http_status_as_error(false).build().into(), port);
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    client.guest("PUT", "vhosts/v", &json!({}));
    for tag in TAGS {
        let user = format!("users/user-{tag}");
        client.guest("PUT", &user, &json!({"password": "p", "tags": tag}));
        client.guest("PUT", &format!("permissions/v/user-{tag}"), &all);
    }
    client.guest("PUT", "users/outside", &json!({"password": "p", "tags": "management"}));
    client.guest("PUT", "users/victim", &json!({"password": "p", "tags": "management"}));
    client.guest("PUT", "permissions/v/victim", &all);
    client.guest("PUT", "user-limits/victim/max-connections", &json!({"value": 9}));
    client.guest("PUT", "vhost-limits/v/max-queues", &json!({"value": 99}));
    let policy = json!({"pattern": "^none$", "definition": {"max-length": 5}});
    client.guest("PUT", "policies/v/p", &policy);
    client.guest("PUT", "operator-policies/v/p", &policy);
    client.guest("PUT", "global-parameters/p", &json!({"value": 1}));
    client.guest("PUT", "exchanges/v/x", &json!({"durable": true}));
    client.guest("PUT", "topic-permissions/v/victim", &json!({"exchange": "x", "write": "a", "read": "a"}));
    client.guest("PUT", "queues/v/q", &json!({"durable": true}));
    client.guest("POST", "bindings/v/e/x/q/q", &json!({"routing_key": "k"}));
    let message = json!({"properties": {}, "routing_key": "k", "payload": "p", "payload_encoding": "string"});
    client.guest("POST", "exchanges/v/x/publish", &message);
    let before = client.definitions();
    let (mut asked, mut refused) = (0, 0);
    for route in TABLES.iter().copied().flatten() {
        for endpoint in route.endpoints {
            let (method, right) = (endpoint.method.as_str(), endpoint.right);
            let body = body(route, endpoint).to_string();
            let there = path(route, true);
            if right != Right::Nothing {
                for nobody in [None, Some("user-administrator:wrong"), Some("absent:p")] {
                    let (status, _) = client.ask(nobody, method, &there, &body);
                    assert_eq!(status, 401, "{method} {there} as {nobody:?}");
                    refused += 1;
                }
            }
            for tag in TAGS {
                let credentials = format!("user-{tag}:p");
                let context = format!("{method} {there} by '{tag}'");
                if has(tag, right) {
                    // Nothing of that name is there, and the body is none, so nothing changes.
                    let (status, said) =
                        client.ask(Some(&credentials), method, &path(route, false), "nonsense");
                    assert!(right == Right::Nothing || status != 401, "{context}: {said}");
                    asked += 1;
                } else {
                    let (status, said) = client.ask(Some(&credentials), method, &there, &body);
                    assert_eq!(
                        (status, &said["error"]),
                        (401, &json!("not_authorised")),
                        "{context}: {said}"
                    );
                    refused += 1;
                }
            }
            let is_in_vhost = route.path.iter().any(|segment| matches!(segment, Segment::Name("vhost")));
            if is_in_vhost && endpoint.method != hyper::Method::GET {
                let (status, said) = client.ask(Some("outside:p"), method, &there, &body);
                assert!([401, 404].contains(&status), "{method} {there} from outside: {status} {said}");
                refused += 1;
            }
        }
        assert_eq!(client.definitions(), before, "something of {} was changed", path(route, true));
    }
    let (_, queue) = client.ask(Some("guest:guest"), "GET", "queues/v/q", "");
    assert_eq!(queue["messages"], 1, "nobody took it or purged the queue");
    assert!(asked > 100 && refused > 500, "{asked} asked, {refused} refused");
    broker.stop().unwrap();
}

#[test]
fn each_route_is_found_by_its_own_path() {
    for route in TABLES.iter().copied().flatten() {
        let path = path(route, false);
        let segments: Vec<&str> = path.split('/').collect();
        let found = find(&segments).map(|route| route.about);
        assert_eq!(found, Some(route.about), "{path}");
    }
}
