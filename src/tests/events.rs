//! What events say (semantics 19.2): keys and fields as RabbitMQ 4.3 has them. Who hears of them is in
//! `announcements`.

use std::collections::BTreeMap;

use leveret_codec::table::AMQPValue;

use super::builders::{
    arguments, binding, declare_exchange, declare_queue, delete_queue, int, queue_with, text,
};
use super::harness::Broker;
use crate::catalog::events::characters;
use crate::model::administration::{
    ApplyTo, Change, Password, PermissionSpec, PolicyKind, PolicySpec, TopicPermissionSpec, UserLimit,
    UserSpec, VhostLimit, VhostMetadata,
};
use crate::model::command::CatalogCommand;
use crate::model::consuming::{ConsumeOptions, NewConsumer};
use crate::model::event::Alarms;
use crate::model::ids::Name;
use crate::model::peer::{Ends, Introduction};
use crate::model::port::BrokerPort;
use crate::model::request::Request;

const CLIENT: &str = "127.0.0.1:50000 -> 127.0.0.1:5672";

/// A field as it is compared: texts as they are, all else as Rust prints it.
fn shown(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::LongLongInt(number) => format!("{number}l"),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::FieldArray(items) => {
            format!("[{}]", items.as_slice().iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        AMQPValue::FieldTable(table) => {
            let fields = table.inner().iter().map(|(name, value)| format!("{name}={}", shown(value)));
            format!("({})", fields.collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// A broker whose events are heard by the queue `heard` of connection 1.
fn subscribed() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("subscriber", |_| ()));
    broker.ask(1, Request::BindQueue(binding("amq.rabbitmq.event", "subscriber", "#")));
    published(&mut broker);
    broker
}

/// What was told since it was last asked: `KEY NAME=VALUE ...`, the fields in order of their names.
fn published(broker: &mut Broker) -> Vec<String> {
    broker.settle();
    let mut events = Vec::new();
    while let Some(event) = broker.get(1, "subscriber") {
        let mut line = String::from_utf8_lossy(event.message.routing_key()).into_owned();
        let headers = event.message.properties().headers().unwrap_or_default();
        let fields: BTreeMap<_, _> =
            headers.inner().iter().map(|(name, value)| (name.as_str(), value)).collect();
        for (name, value) in fields.into_iter().filter(|(name, _)| *name != "timestamp_in_ms") {
            line.push_str(&format!(" {name}={}", shown(value)));
        }
        events.push(line);
    }
    events
}

fn administered(broker: &mut Broker, change: Change) -> Vec<String> {
    broker.administer(change).unwrap();
    published(broker)
}

#[test]
fn queues_exchanges_and_bindings_are_described_and_who_made_them() {
    let mut broker = subscribed();
    broker.ask(1, queue_with("q", &[("x-max-length", int(5))]));
    broker.ask(1, declare_exchange("x", "topic", |declare| declare.internal = true));
    broker.ask(1, Request::BindQueue(binding("x", "q", "a.*")));
    broker.ask(1, delete_queue("q", false, false));
    broker.ask(1, Request::DeleteExchange { name: "x".into(), if_unused: false });
    let given = "[{<<\"x-max-length\">>,signedint,5}]";
    let by = "user_who_performed_action=guest";
    let bound = format!(
        "arguments=[] destination_kind=queue destination_name=q routing_key=a.* source_kind=exchange \
         source_name=x {by} vhost=/"
    );
    let expected = [
        format!(
            "queue.created arguments={given} auto_delete=false durable=true exclusive=false name=q \
             type=rabbit_classic_queue {by} vhost=/"
        ),
        format!(
            "exchange.created arguments=[] auto_delete=false durable=true internal=true name=x policy= type=topic \
             {by} vhost=/"
        ),
        format!("binding.created {bound}"),
        format!("binding.deleted {bound}"),
        format!("queue.deleted name=q type=rabbit_classic_queue {by} vhost=/"),
        format!("exchange.deleted name=x {by} vhost=/"),
    ];
    assert_eq!(published(&mut broker), expected);
}

#[test]
fn what_goes_of_its_own_is_told_once_and_as_the_brokers_doing() {
    let mut broker = subscribed();
    broker.ask(1, declare_exchange("x", "fanout", |declare| declare.auto_delete = true));
    broker.ask(
        1,
        declare_queue("expires", |declare| {
            declare.arguments = arguments(&[("x-expires", int(1000))]);
        }),
    );
    broker.ask(1, Request::BindQueue(binding("x", "expires", "")));
    broker.connect(2);
    broker.ask(2, declare_queue("exclusive", |declare| declare.exclusive = true));
    published(&mut broker);
    broker.pass(1000);
    broker.lose(2);
    let keys: Vec<String> = published(&mut broker)
        .into_iter()
        .filter_map(|line| {
            let by = line.split(' ').find(|field| field.starts_with("user_who"))?;
            Some(format!("{} {by}", line.split(' ').next()?))
        })
        .collect();
    let expected = ["binding.deleted", "exchange.deleted", "queue.deleted", "queue.deleted"]
        .map(|key| format!("{key} user_who_performed_action=rmq-internal"));
    assert_eq!(keys, expected);
}

#[test]
fn a_connection_its_channels_and_consumers_are_described() {
    let mut broker = subscribed();
    let now = broker.now;
    let ends = Ends { client: "127.0.0.1:50000".parse().unwrap(), server: "127.0.0.1:5672".parse().unwrap() };
    let mut port = broker.port(2).between(ends);
    port.authenticate(now, "PLAIN", b"\0guest\0guest", true).unwrap();
    let properties = arguments(&[("product", text("p")), ("connection_name", text("mine"))]);
    let client = Introduction {
        properties: properties.into(),
        channel_max: 9,
        frame_max: 4096,
        heartbeat_seconds: 60,
    };
    port.open_vhost(now, "/", client).unwrap();
    port.open_channel(now, 3).unwrap();
    let consumer = NewConsumer {
        tag: "t".into(),
        queue: "q\n".into(),
        options: ConsumeOptions { prefetch: 7, exclusive: true, ..ConsumeOptions::default() },
        arguments: arguments(&[("x-priority", int(1))]),
    };
    port.consumer_began(now, 3, &consumer);
    port.consumer_ended(now, 3, &consumer.tag, &consumer.queue);
    port.close_channel(now, 3, 2);
    port.request(now, Request::CloseConnection);
    broker.adopt(2, port);
    let properties = "client_properties=[{<<\"connection_name\">>,longstr,<<\"mine\">>} {<<\"product\">>,longstr,<<\"p\">>}]";
    let by = "user_who_performed_action=guest";
    let channel =
        format!("connection={CLIENT} name={CLIENT} (3) number=3l pid={CLIENT} (3) user=guest {by} vhost=/");
    let consumer = format!("queue=q {by} vhost=/");
    let expected = [
        format!(
            "user.authentication.success auth_mechanism=PLAIN connection_name={CLIENT} connection_type=network \
             host={{127,0,0,1}} name=guest peer_host={{127,0,0,1}} peer_port=50000l protocol={{0,9,1}} ssl=false"
        ),
        format!(
            "connection.created auth_mechanism=PLAIN channel_max=9l {properties} connected_at=1000000l \
             frame_max=4096l host={{127,0,0,1}} name={CLIENT} node=leveret@localhost peer_cert_issuer= \
             peer_cert_serial_number= peer_cert_subject= peer_cert_validity= peer_host={{127,0,0,1}} \
             peer_port=50000l pid={CLIENT} port=5672l protocol={{0,9,1}} ssl=false ssl_cipher= ssl_hash= \
             ssl_key_exchange= ssl_protocol= timeout=60l type=network user=guest user_provided_name=mine {by} vhost=/"
        ),
        format!("channel.created {channel}"),
        format!(
            "consumer.created ack_required=true arguments=[{{<<\"x-priority\">>,signedint,1}}] \
             channel={CLIENT} (3) consumer_tag=t exclusive=true prefetch_count=7l {consumer}"
        ),
        format!("consumer.deleted channel={CLIENT} (3) consumer_tag=t {consumer}"),
        format!("channel.closed {}", channel.replace(" name=", " consumer_count=2l name=")),
        format!(
            "connection.closed {properties} name={CLIENT} node=leveret@localhost pid={CLIENT} user=guest \
             user_provided_name=mine vhost=/"
        ),
    ];
    assert_eq!(published(&mut broker), expected);
}

#[test]
fn a_login_that_fails_is_told_with_its_reason_in_characters() {
    let mut broker = subscribed();
    let now = broker.now;
    let mut port = broker.port(2).with_anonymous(Some("guest".into()));
    let tries: [(&str, &[u8], bool); 6] = [
        ("PLAIN", b"\0guest\0wrong", true),
        ("PLAIN", b"\0nobody\0x", true),
        ("PLAIN", b"\0guest\0guest", false),
        ("PLAIN", b"guest", true),
        ("X", b"", true),
        ("ANONYMOUS", b"", false),
    ];
    for (mechanism, response, loopback) in tries {
        port.authenticate(now, mechanism, response, loopback).unwrap_err();
    }
    broker.adopt(2, port);
    let failure = |mechanism: &str, name: &str, error: &str| {
        format!(
            "user.authentication.failure auth_mechanism={mechanism} connection_name= connection_type=network \
             error={}{name} protocol={{0,9,1}} ssl=false",
            shown(&characters(error))
        )
    };
    let expected = [
        failure("PLAIN", " name=guest", "user 'guest' - invalid credentials"),
        failure("PLAIN", " name=nobody", "user 'nobody' - invalid credentials"),
        failure("PLAIN", " name=guest", "user 'guest' can only connect via localhost"),
        failure("PLAIN", "", "response invalid"),
        failure("ANONYMOUS", " name=guest", "user 'guest' can only connect via localhost"),
    ];
    assert_eq!(published(&mut broker), expected);
    assert_eq!(shown(&characters("ab")), "[97l 98l]");
}

#[test]
fn what_administrators_do_is_told() {
    let mut broker = subscribed();
    let (vhost, user): (Name, Name) = ("v".into(), "u".into());
    let metadata = VhostMetadata {
        description: "d".into(),
        tags: vec!["a".into(), "b".into()],
        default_queue_type: None,
    };
    let put = Change::PutVhost { name: vhost.clone(), metadata };
    let made = administered(&mut broker, put.clone());
    let described = "default_queue_type=classic description=d name=v tags=[a b] tracing=";
    assert_eq!(made.last().unwrap(), &format!("vhost.created {described}false"));
    assert_eq!(made.iter().filter(|line| line.starts_with("exchange.created")).count(), 7);
    assert_eq!(administered(&mut broker, put), [format!("vhost.updated {described}false")]);
    let traced = administered(&mut broker, Change::SetTracing { vhost: vhost.clone(), on: true });
    assert_eq!(traced, [format!("vhost.updated {described}true")]);

    let spec = UserSpec {
        password: Password::Plain("x".into()),
        tags: vec!["monitoring".into()],
        loopback_only: false,
    };
    let put = Change::PutUser { name: user.clone(), user: spec };
    let tags = "user.tags.set name=u tags=[monitoring]";
    assert_eq!(administered(&mut broker, put.clone()), ["user.created name=u", tags]);
    assert_eq!(administered(&mut broker, put), ["user.password.changed name=u", tags]);

    let permissions = PermissionSpec { configure: "a".into(), write: "b".into(), read: "c".into() };
    let put = Change::PutPermissions { vhost: vhost.clone(), user: user.clone(), permissions };
    let created = "permission.created configure=a read=c user=u vhost=v write=b";
    assert_eq!(administered(&mut broker, put.clone()), [created]);
    let clear = Change::ClearPermissions { vhost: vhost.clone(), user: user.clone() };
    assert_eq!(administered(&mut broker, clear), ["permission.deleted user=u vhost=v"]);
    administered(&mut broker, put);

    let permissions = TopicPermissionSpec { write: "w".into(), read: "r".into() };
    let exchange: Name = "amq.topic".into();
    let put = Change::PutTopicPermissions { vhost: vhost.clone(), user: user.clone(), exchange, permissions };
    let created = "topic.permission.created exchange=amq.topic read=r user=u vhost=v write=w";
    assert_eq!(administered(&mut broker, put), [created]);
    let clear = Change::ClearTopicPermissions { vhost: vhost.clone(), user: user.clone(), exchange: None };
    assert_eq!(administered(&mut broker, clear), ["topic.permission.deleted user=u vhost=v"]);

    let set = |limit, value| Change::SetUserLimit { user: "u".into(), limit, value };
    let set_five = administered(&mut broker, set(UserLimit::MaxConnections, Some(5)));
    assert_eq!(set_five, ["user.limits.set max-connections=5l name=limits username=u"]);
    let cleared = administered(&mut broker, set(UserLimit::MaxChannels, None));
    assert_eq!(cleared, ["user.limits.cleared name=limits username=u"]);
    assert_eq!(administered(&mut broker, Change::DeleteUser { name: user }), ["user.deleted name=u"]);
}

#[test]
fn policies_and_limits_of_a_vhost_are_told_and_go_with_it() {
    let mut broker = subscribed();
    broker.administer(Change::PutVhost { name: "v".into(), metadata: VhostMetadata::default() }).unwrap();
    published(&mut broker);
    let policy = PolicySpec {
        pattern: "^x".into(),
        apply_to: ApplyTo::Queues,
        priority: 3,
        definition: arguments(&[("max-length", int(5))]),
    };
    let put = |kind, name: &str| Change::PutPolicy {
        vhost: "v".into(),
        kind,
        name: name.into(),
        policy: policy.clone(),
    };
    let says = "apply-to=queues definition=(max-length=5l)";
    let set = |name: &str| format!("policy.set {says} name={name} pattern=^x priority=3l vhost=v");
    assert_eq!(administered(&mut broker, put(PolicyKind::Regular, "p")), [set("p")]);
    let parameter = format!(
        "parameter.set component=operator_policy name=o value=({says} pattern=^x priority=3l) vhost=v"
    );
    assert_eq!(administered(&mut broker, put(PolicyKind::Operator, "o")), [parameter, set("o")]);

    let limit = |value| Change::SetVhostLimit { vhost: "v".into(), limit: VhostLimit::MaxQueues, value };
    let limits = administered(&mut broker, limit(Some(7)));
    let expected = [
        "parameter.set component=vhost-limits name=limits value=(max-queues=7l) vhost=v",
        "vhost.limits.set max-queues=7l name=limits vhost=v",
    ];
    assert_eq!(limits, expected);

    let mut gone = administered(&mut broker, Change::DeleteVhost { name: "v".into() });
    gone.retain(|line| !line.starts_with("exchange.deleted"));
    let expected = [
        "policy.cleared name=p vhost=v",
        "parameter.cleared component=operator_policy name=o vhost=v",
        "operator.policy.cleared name=o vhost=v",
        "parameter.cleared component=vhost-limits name=limits vhost=v",
        "vhost.limits.cleared name=limits vhost=v",
        "vhost.deleted name=v",
    ];
    assert_eq!(gone, expected);
}

#[test]
fn an_alarm_is_told_when_it_changes() {
    let mut broker = subscribed();
    for (memory, disk) in [(true, false), (true, true), (true, true), (false, false)] {
        broker.tell_catalog(CatalogCommand::Alarms(Alarms { memory, disk }));
    }
    let expected = ["set source=memory", "set source=disk", "cleared source=memory", "cleared source=disk"]
        .map(|what| what.replacen(' ', " node=leveret@localhost ", 1))
        .map(|what| format!("alarm.{what}"));
    assert_eq!(published(&mut broker), expected);
}
