//! Events of connections, channels, consumers and logins.

use super::Events;
use crate::channel::{Channel, delete};
use crate::connection::Login;
use crate::entity::{Consume, Queue};
use crate::outcome::{Step, ensure, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Table, id};

cases! {
    s19_02_consumer: "consumer.created describes a consumer, consumer.deleted names it";
    s19_02_consumer_goes: "consumer.deleted tells of a consumer that goes with its queue";
    s19_02_consumers_left: "channel.closed tells how many consumers go with a channel; consumer.deleted, which ones",
        differs("untold", "told", "RabbitMQ has no consumer.deleted for those that go with a channel; listeners that count \
                                   would never be right");
    s19_02_direct_replies: "a consumer of direct replies is not told";
    s19_02_connection: "a connection is told with its user, addresses, limits and properties";
    s19_02_channel: "channels are told, and belong to their connection";
    s19_02_login: "user.authentication.success tells who logged in, from where and how";
    s19_02_login_refused: "user.authentication.failure says why, one character after the other";
}

fn s19_02_consumer(test: &Test) -> Step {
    let (events, channel, name) = (Events::new(test, &["consumer.*"])?, test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    channel.qos(7, false)?;
    channel.consume_with(&Consume::new(&name, "t").exclusive().with("x-priority", 3))?;
    let shared = [
        ("consumer_tag", "t"),
        ("vhost", &*test.target.vhost),
        ("user_who_performed_action", &*test.target.user),
    ];
    let fields = [
        ("ack_required", "true"),
        ("exclusive", "true"),
        ("prefetch_count", "7l"),
        ("arguments", r#"[{<<"x-priority">>,signedint,3}]"#),
    ];
    let created = events.next("consumer.created", "queue", &name)?;
    created.says(&shared)?.says(&fields)?;
    channel.cancel("t")?;
    channel.cancel("t")?;
    let deleted = events.next("consumer.deleted", "queue", &name)?;
    deleted.says(&shared)?.says(&[("channel", created.field("channel")?)])?;
    events.none("consumer.deleted", "queue", &name)?;
    channel.consume_with(&Consume::new(&name, "u").no_ack())?;
    events.next("consumer.created", "queue", &name)?.says(&[("ack_required", "false")]).map(drop)
}

fn s19_02_consumer_goes(test: &Test) -> Step {
    let (events, channel, name) = (Events::new(test, &["consumer.*"])?, test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    channel.consume(&name, "t")?;
    let created = events.next("consumer.created", "queue", &name)?;
    channel.send(delete(&name, false, false));
    let deleted = events.next("consumer.deleted", "queue", &name)?;
    deleted.says(&[("consumer_tag", "t"), ("channel", created.field("channel")?)]).map(drop)
}

/// Ends a channel that consumes from this queue.
type End = fn(&Channel, &str) -> Step;

fn s19_02_consumers_left(test: &Test) -> Step {
    let events = Events::new(test, &["consumer.*", "channel.closed"])?;
    let connection = test.connect()?;
    let ends: [(&str, End); 3] = [
        ("closed", |channel, _| channel.close()),
        ("failed", |channel, name| channel.refuses(Queue::new(name).auto_delete().payload(), 406, "*")),
        ("connection", |channel, _| channel.connection.close()),
    ];
    let mut told = 0;
    for (how, end) in ends {
        let (channel, name) = (connection.channel()?, test.queue(how));
        channel.declare(&Queue::new(&name))?;
        channel.consume(&name, how)?;
        let created = events.next("consumer.created", "queue", &name)?;
        end(&channel, &name)?;
        let closed = events.next("channel.closed", "pid", created.field("channel")?)?;
        closed.says(&[("consumer_count", "1l")])?;
        told += usize::from(events.seen("consumer.deleted", "queue", &name)?);
    }
    test.answered(match told {
        0 => "untold",
        3 => "told",
        _ => return fail(format!("consumer.deleted in {told} of 3 cases")),
    });
    Ok(())
}

fn s19_02_direct_replies(test: &Test) -> Step {
    let (events, channel) = (Events::new(test, &["consumer.*"])?, test.channel()?);
    let (tag, name) = (test.unique(), test.queue("q"));
    channel.consume_with(&Consume::new("amq.rabbitmq.reply-to", &tag).no_ack())?;
    channel.declare(&Queue::new(&name))?;
    channel.consume(&name, "t")?;
    events.next("consumer.created", "queue", &name)?;
    events.none("consumer.created", "consumer_tag", &tag)
}

/// A login whose events are found by the connection's name.
fn named(test: &Test) -> (String, Login) {
    let name = test.unique();
    let properties = Table::new().set("connection_name", name.as_str()).set("x", 5);
    (name, Login { properties, channel_max: 99, frame_max: 8192, heartbeat: 60, ..test.login() })
}

fn s19_02_connection(test: &Test) -> Step {
    let events = Events::new(test, &["connection.*"])?;
    let (name, login) = named(test);
    let connection = test.connect_as(&login)?;
    let port = format!("{}l", test.target.port);
    let properties = format!(r#"[*{{<<"connection_name">>,longstr,<<"{name}">>}}*{{<<"x">>,signedint,5}}*]"#);
    let created = events.next("connection.created", "user_provided_name", &name)?;
    created.says(&[
        ("name", "* -> *"),
        ("vhost", &test.target.vhost),
        ("user", &test.target.user),
        ("user_who_performed_action", &test.target.user),
        ("protocol", "{0,9,1}"),
        ("type", "network"),
        ("auth_mechanism", "PLAIN"),
        ("ssl", "false"),
        ("ssl_protocol", ""),
        ("peer_cert_subject", ""),
        ("channel_max", "99l"),
        ("frame_max", "8192l"),
        ("timeout", "60l"),
        ("connected_at", "*l"),
        ("port", &port),
        ("host", "{*,*,*}"),
        ("peer_port", "*l"),
        ("peer_host", "{*,*,*}"),
        ("client_properties", &properties),
        ("node", "*"),
    ])?;
    connection.close()?;
    connection.cut();
    let closed = events.next("connection.closed", "user_provided_name", &name)?;
    closed.says(&[
        ("name", created.field("name")?),
        ("pid", created.field("pid")?),
        ("client_properties", created.field("client_properties")?),
        ("node", created.field("node")?),
    ])?;
    events.none("connection.closed", "user_provided_name", &name)
}

fn s19_02_channel(test: &Test) -> Step {
    let events = Events::new(test, &["connection.*", "channel.*", "consumer.*"])?;
    let (name, login) = named(test);
    let connection = test.connect_as(&login)?;
    let opened = events.next("connection.created", "user_provided_name", &name)?;
    let channel = connection.channel()?;
    let created = events.next("channel.created", "connection", opened.field("pid")?)?;
    created.says(&[
        ("name", &format!("{} ({})", opened.field("name")?, channel.number)),
        ("number", &format!("{}l", channel.number)),
        ("user", &test.target.user),
        ("user_who_performed_action", &test.target.user),
        ("vhost", &test.target.vhost),
    ])?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.consume(&queue, "t")?;
    events.next("consumer.created", "queue", &queue)?.says(&[("channel", created.field("pid")?)])?;
    channel.cancel("t")?;
    channel.close()?;
    let closed = events.next("channel.closed", "pid", created.field("pid")?)?;
    closed.says(&[("consumer_count", "0l"), ("user_who_performed_action", &test.target.user)])?;
    events.none("channel.closed", "pid", created.field("pid")?)
}

fn s19_02_login(test: &Test) -> Step {
    let events = Events::new(test, &["user.authentication.*", "connection.*"])?;
    let (name, login) = named(test);
    test.connect_as(&login)?;
    let opened = events.next("connection.created", "user_provided_name", &name)?;
    let told = events.next("user.authentication.success", "connection_name", opened.field("name")?)?;
    told.says(&[("name", &*test.target.user), ("auth_mechanism", "PLAIN"), ("connection_type", "network")])?;
    for field in ["host", "peer_host", "peer_port", "protocol", "ssl"] {
        told.says(&[(field, opened.field(field)?)])?;
    }
    Ok(())
}

fn s19_02_login_refused(test: &Test) -> Step {
    let events = Events::new(test, &["user.authentication.*"])?;
    let user = test.unique();
    let connection = test.tcp()?;
    connection.greet()?;
    let response = format!("\0{user}\0secret").into_bytes();
    connection.start_ok(&Login { response, ..test.login() });
    connection.closes(403, id(0, 0), "ACCESS_REFUSED - Login was refused*")?;
    let told = events.next("user.authentication.failure", "name", &user)?;
    let reason: Vec<_> =
        format!("user '{user}' - invalid credentials").bytes().map(|byte| format!("{byte}l")).collect();
    told.says(&[
        ("error", &format!("[{}]", reason.join(" "))),
        ("auth_mechanism", "PLAIN"),
        ("connection_name", "* -> *"),
        ("connection_type", "network"),
        ("protocol", "{0,9,1}"),
        ("ssl", "false"),
        ("peer_port", "*l"),
    ])?;
    ensure(!format!("{:?}", told.fields).contains("secret"), "the password is told")
}
