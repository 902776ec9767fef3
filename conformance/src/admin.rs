//! The management interface of the broker under test, for what clients see of an administrator's doing: a vhost and
//! users of a case's own, and permissions, policies and limits on them. All of it is deleted with the [`Admin`].

use std::cell::RefCell;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

use crate::channel::Channel;
use crate::connection::{Connection, Login, PATIENCE};
use crate::outcome::{Step, Stop, equal, fail, fits};
use crate::test::Test;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A vhost of a case's own, and the right to change things in it.
pub(crate) struct Admin<'a> {
    test: &'a Test<'a>,
    agent: Agent,
    base: String,
    authorization: String,
    pub(crate) vhost: String,
    users: RefCell<Vec<String>>,
}

impl<'a> Admin<'a> {
    /// Makes the vhost and lets the suite's own user do all in it. Skips the case where there is no management.
    pub(crate) fn new(test: &'a Test<'a>) -> Step<Admin<'a>> {
        Admin::with_vhost(test, &json!({}))
    }

    /// The same with what is to be known of the vhost.
    pub(crate) fn with_vhost(test: &'a Test<'a>, vhost: &Value) -> Step<Admin<'a>> {
        let Some(management) = &test.target.management else {
            return Err(Stop::Skip("needs the management interface: --management".into()));
        };
        let (base, credentials) = management;
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        let admin = Admin {
            test,
            agent: config.into(),
            base: base.clone(),
            authorization: format!("Basic {}", BASE64_STANDARD.encode(credentials)),
            vhost: test.unique(),
            users: RefCell::default(),
        };
        admin.put(&format!("vhosts/{}", admin.vhost), vhost)?;
        admin.permit(&test.target.user, ".*", ".*", ".*")?;
        Ok(admin)
    }

    /// The suite's own user on this vhost.
    pub(crate) fn login(&self) -> Login {
        Login { vhost: self.vhost.clone(), ..self.test.login() }
    }

    pub(crate) fn connect(&self) -> Step<Connection> {
        self.test.connect_as(&self.login())
    }

    /// The first channel of a connection to this vhost.
    pub(crate) fn channel(&self) -> Step<Channel> {
        self.connect()?.channel()
    }

    /// A user without tags who may do on this vhost what the expressions say. Returns the name and a login.
    pub(crate) fn user(&self, configure: &str, write: &str, read: &str) -> Step<(String, Login)> {
        let name = self.test.unique();
        self.users.borrow_mut().push(name.clone());
        self.put(&format!("users/{name}"), &json!({"password": "pw", "tags": ""}))?;
        self.permit(&name, configure, write, read)?;
        let login = Login { response: format!("\0{name}\0pw").into_bytes(), ..self.login() };
        Ok((name, login))
    }

    pub(crate) fn permit(&self, user: &str, configure: &str, write: &str, read: &str) -> Step {
        let body = json!({"configure": configure, "write": write, "read": read});
        self.put(&format!("permissions/{}/{user}", self.vhost), &body)
    }

    pub(crate) fn permit_topics(&self, user: &str, exchange: &str, write: &str, read: &str) -> Step {
        let body = json!({"exchange": exchange, "write": write, "read": read});
        self.put(&format!("topic-permissions/{}/{user}", self.vhost), &body)
    }

    /// A policy of priority 0 for queues and exchanges.
    pub(crate) fn policy(&self, name: &str, pattern: &str, definition: &Value) -> Step {
        self.put_policy("policies", name, &json!({"pattern": pattern, "definition": definition}))
    }

    /// The same of an operator, for queues.
    pub(crate) fn operator_policy(&self, name: &str, pattern: &str, definition: &Value) -> Step {
        let body = json!({"pattern": pattern, "definition": definition, "apply-to": "queues"});
        self.put_policy("operator-policies", name, &body)
    }

    pub(crate) fn put_policy(&self, kind: &str, name: &str, body: &Value) -> Step {
        self.put(&format!("{kind}/{}/{name}", self.vhost), body)
    }

    pub(crate) fn delete_policy(&self, name: &str) -> Step {
        self.delete(&format!("policies/{}/{name}", self.vhost))
    }

    /// A policy that is refused with 400 and this reason (`*`: anything).
    pub(crate) fn policy_refused(&self, kind: &str, body: &Value, reason: &str) -> Step {
        let (status, answer) = self.call("PUT", &format!("{kind}/{}/refused", self.vhost), Some(body))?;
        equal("status", status, 400)?;
        let said = answer["reason"].as_str().unwrap_or_default();
        if fits(reason, said) { Ok(()) } else { fail(format!("expected {reason:?}, saw {said:?}")) }
    }

    pub(crate) fn limit(&self, name: &str, value: i64) -> Step {
        self.put(&format!("vhost-limits/{}/{name}", self.vhost), &json!({"value": value}))
    }

    pub(crate) fn limit_user(&self, user: &str, name: &str, value: i64) -> Step {
        self.put(&format!("user-limits/{user}/{name}"), &json!({"value": value}))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Step {
        self.done("PUT", path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Step {
        self.done("DELETE", path, None)
    }

    pub(crate) fn get(&self, path: &str) -> Step<Value> {
        let (status, answer) = self.call("GET", path, None)?;
        if status == 200 { Ok(answer) } else { fail(format!("GET {path}: {status} {answer}")) }
    }

    /// Asks again until the answer is as wanted: what a listing shows may lag behind.
    pub(crate) fn becomes(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Step<Value> {
        let start = Instant::now();
        loop {
            let (status, answer) = self.call("GET", path, None)?;
            if status == 200 && wanted(&answer) {
                return Ok(answer);
            }
            if start.elapsed() > PATIENCE {
                return fail(format!("GET {path} still is {status} {answer}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A queue of this vhost as reply texts print it.
    pub(crate) fn queue_text(&self, name: &str) -> String {
        format!("queue '{name}' in vhost '{}'", self.vhost)
    }

    /// An exchange of this vhost as reply texts print it.
    pub(crate) fn exchange_text(&self, name: &str) -> String {
        format!("exchange '{name}' in vhost '{}'", self.vhost)
    }

    fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Step {
        match self.call(method, path, body)? {
            (201 | 204, _) => Ok(()),
            (status, answer) => fail(format!("{method} {path}: {status} {answer}")),
        }
    }

    /// One request, and what is answered: the status, and the body where it is JSON.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Step<(u16, Value)> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api/{path}", self.base))
            .header("authorization", &self.authorization)
            .header("x-reason", "because");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let failed = |error: &dyn std::fmt::Display| Stop::Fail(format!("{method} {path}: {error}"));
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(text).map_err(|error| failed(&error))?;
        let mut answer = self.agent.run(request).map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().map_err(|error| failed(&error))?;
        self.test.trace.note(&format!("{method} {path} {status} {text}"));
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}

impl Drop for Admin<'_> {
    /// A case that deleted them itself gets 404 here, which is no matter.
    fn drop(&mut self) {
        let _ = self.call("DELETE", &format!("vhosts/{}", self.vhost), None);
        for user in self.users.take() {
            let _ = self.call("DELETE", &format!("users/{user}"), None);
        }
    }
}
