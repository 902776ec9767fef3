//! Events of vhosts, users, permissions, policies and limits. Needs the management interface, and an operator for
//! alarms.

use serde_json::json;

use super::Events;
use crate::admin::Admin;
use crate::operator::{Alarm, Operator};
use crate::outcome::Step;
use crate::runner::cases;
use crate::test::Test;

cases! {
    s19_02_vhost: "vhost.created comes behind its exchanges; vhost.updated and vhost.deleted";
    s19_02_user: "users, their passwords and tags are told";
    s19_02_permission: "permissions, also on topics, are told when they are set and cleared";
    s19_02_policy: "policies are told, those of operators also as parameters";
    s19_02_limits: "limits of vhosts and users are told";
    s19_02_alarm: "alarms are told", alone();
}

fn s19_02_vhost(test: &Test) -> Step {
    let events = Events::new(test, &["vhost.*", "exchange.*"])?;
    let admin = Admin::with_vhost(test, &json!({"description": "d", "tags": "a,b"}))?;
    let fields =
        [("description", "d"), ("tags", "[a b]"), ("default_queue_type", "classic"), ("tracing", "false")];
    events.next("vhost.created", "name", &admin.vhost)?.says(&fields)?;
    let types = [
        ("", "direct"),
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
        ("amq.rabbitmq.trace", "topic"),
    ];
    for (name, kind) in types {
        let mut of_vhost = events.next("exchange.created", "name", name)?;
        while of_vhost.field("vhost")? != admin.vhost {
            of_vhost = events.next("exchange.created", "name", name)?;
        }
        of_vhost.says(&[("type", kind), ("durable", "true")])?;
    }
    admin.put(&format!("vhosts/{}", admin.vhost), &json!({"description": "e"}))?;
    events.next("vhost.updated", "name", &admin.vhost)?.says(&[("description", "e")])?;
    let name = admin.vhost.clone();
    drop(admin);
    events.next("vhost.deleted", "name", &name).map(drop)
}

fn s19_02_user(test: &Test) -> Step {
    let events = Events::new(test, &["user.#"])?;
    let admin = Admin::new(test)?;
    let (name, _) = admin.user("", "", "")?;
    events.next("user.created", "name", &name)?;
    events.none("user.tags.set", "name", &name)?;
    admin.put(&format!("users/{name}"), &json!({"password": "new", "tags": "monitoring"}))?;
    events.next("user.password.changed", "name", &name)?;
    events.next("user.tags.set", "name", &name)?.says(&[("tags", "[monitoring]")])?;
    admin.delete(&format!("users/{name}"))?;
    events.next("user.deleted", "name", &name).map(drop)
}

fn s19_02_permission(test: &Test) -> Step {
    let events = Events::new(test, &["permission.*", "topic.permission.*"])?;
    let admin = Admin::new(test)?;
    let (user, _) = admin.user("a", "b", "c")?;
    let vhost = [("vhost", &*admin.vhost)];
    let created = events.next("permission.created", "user", &user)?;
    created.says(&vhost)?.says(&[("configure", "a"), ("write", "b"), ("read", "c")])?;
    admin.permit_topics(&user, "amq.topic", "w", "r")?;
    let created = events.next("topic.permission.created", "user", &user)?;
    created.says(&vhost)?.says(&[("exchange", "amq.topic"), ("write", "w"), ("read", "r")])?;
    admin.delete(&format!("topic-permissions/{}/{user}", admin.vhost))?;
    events.next("topic.permission.deleted", "user", &user)?.says(&vhost)?;
    admin.delete(&format!("permissions/{}/{user}", admin.vhost))?;
    events.next("permission.deleted", "user", &user)?.says(&vhost).map(drop)
}

fn s19_02_policy(test: &Test) -> Step {
    let events = Events::new(test, &["policy.*", "operator.policy.*", "parameter.*"])?;
    let admin = Admin::new(test)?;
    let says = [
        ("name", "p"),
        ("pattern", "^x"),
        ("apply-to", "queues"),
        ("priority", "3l"),
        ("definition", "{max-length=5l}"),
    ];
    let body = json!({"pattern": "^x", "definition": {"max-length": 5}, "priority": 3, "apply-to": "queues"});
    for (kind, cleared) in [("policies", "policy.cleared"), ("operator-policies", "operator.policy.cleared")]
    {
        admin.put_policy(kind, "p", &body)?;
        events.next("policy.set", "vhost", &admin.vhost)?.says(&says)?;
        admin.delete(&format!("{kind}/{}/p", admin.vhost))?;
        events.next(cleared, "vhost", &admin.vhost)?.says(&[("name", "p")])?;
    }
    let parameter = [("component", "operator_policy"), ("name", "p")];
    let value = "{apply-to=queues definition={max-length=5l} pattern=^x priority=3l}";
    let set = events.next("parameter.set", "vhost", &admin.vhost)?;
    set.says(&parameter)?.says(&[("value", value)])?;
    events.next("parameter.cleared", "vhost", &admin.vhost)?.says(&parameter).map(drop)
}

fn s19_02_limits(test: &Test) -> Step {
    let events = Events::new(test, &["vhost.limits.*", "user.limits.*", "parameter.*"])?;
    let admin = Admin::new(test)?;
    admin.limit("max-connections", 5)?;
    let told = events.next("vhost.limits.set", "vhost", &admin.vhost)?;
    told.says(&[("name", "limits"), ("max-connections", "5l")])?;
    admin.limit("max-queues", -1)?;
    let told = events.next("vhost.limits.set", "vhost", &admin.vhost)?;
    told.says(&[("max-connections", "5l"), ("max-queues", "-1l")])?;
    events.next("parameter.set", "vhost", &admin.vhost)?;
    let told = events.next("parameter.set", "vhost", &admin.vhost)?;
    told.says(&[("component", "vhost-limits"), ("value", "{max-connections=5l max-queues=-1l}")])?;
    let (user, _) = admin.user("", "", "")?;
    admin.limit_user(&user, "max-channels", 6)?;
    let told = events.next("user.limits.set", "username", &user)?;
    told.says(&[("name", "limits"), ("max-channels", "6l")])?;
    admin.delete(&format!("user-limits/{user}/max-channels"))?;
    events.next("user.limits.cleared", "username", &user)?;
    let vhost = admin.vhost.clone();
    drop(admin);
    events.next("vhost.limits.cleared", "vhost", &vhost).map(drop)
}

fn s19_02_alarm(test: &Test) -> Step {
    let events = Events::new(test, &["alarm.*"])?;
    let mut operator = Operator::new(test)?;
    operator.raise(Alarm::Memory)?;
    events.next("alarm.set", "source", "memory")?.says(&[("node", "*")])?;
    operator.undo()?;
    events.next("alarm.cleared", "source", "memory").map(drop)
}
