//! A broker with its management API, and a client of it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use crate::support::{Broker, free_port};

/// A broker, administered by guest.
pub(crate) struct Managed {
    pub(crate) broker: Broker,
    pub(crate) api: Api,
    pub(crate) port: u16,
}

impl Managed {
    pub(crate) fn start() -> Managed {
        Managed::start_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Managed {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let broker = Broker::start_with(&[&["--management-listen", &listen], arguments].concat());
        Managed { broker, api: Api::new(port, "guest:guest"), port }
    }

    pub(crate) fn as_user(&self, credentials: &str) -> Api {
        Api::new(self.port, credentials)
    }
}

/// Somebody who asks.
pub(crate) struct Api {
    agent: Agent,
    port: u16,
    authorization: Option<String>,
}

/// A status and the JSON behind it; null where there is none.
pub(crate) type Answered = (u16, Value);

impl Api {
    pub(crate) fn new(port: u16, credentials: &str) -> Api {
        let authorization = Some(format!("Basic {}", BASE64_STANDARD.encode(credentials)));
        Api { authorization, ..Api::nobody(port) }
    }

    /// Without credentials.
    pub(crate) fn nobody(port: u16) -> Api {
        let agent = Agent::config_builder().http_status_as_error(false).build().into();
        Api { agent, port, authorization: None }
    }

    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
        let uri = format!("http://127.0.0.1:{}/api/{path}", self.port);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = self.agent.run(request.body(body).unwrap()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (answer.status().as_u16(), value)
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.call("GET", path, &[], &[])
    }

    /// What there is.
    pub(crate) fn found(&self, path: &str) -> Value {
        let (status, value) = self.get(path);
        assert_eq!(status, 200, "GET {path}: {value}");
        value
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answered {
        self.call("PUT", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// The status of a change that says nothing else.
    pub(crate) fn change(&self, path: &str, body: &Value) -> u16 {
        let (status, said) = self.put(path, body);
        assert_eq!(said, Value::Null, "PUT {path} {body}");
        status
    }

    /// Why a change is 400.
    pub(crate) fn refused(&self, path: &str, body: &Value) -> Value {
        let (status, mut said) = self.put(path, body);
        assert_eq!((status, &said["error"]), (400, &Value::from("bad_request")), "PUT {path} {body}: {said}");
        said["reason"].take()
    }

    pub(crate) fn delete(&self, path: &str) -> u16 {
        self.call("DELETE", path, &[], &[]).0
    }
}

/// The body of a 404.
pub(crate) fn not_found() -> Answered {
    (404, serde_json::json!({"error": "Object Not Found", "reason": "Not Found"}))
}
