//! Section 18: limits of vhosts and users; also the default queue type of a vhost (semantics 7.12). Needs the
//! management interface.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::admin::Admin;
use crate::connection::{Connection, Login, PATIENCE, check_close};
use crate::entity::Queue;
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s18_01_vhost_queues: "max-queues of a vhost: one more is 406, and a queue that exists is not";
    s18_01_vhost_no_queues: "max-queues of 0 allows none, of -1 any number";
    s18_01_vhost_connections: "max-connections of a vhost: one more is 530 at connection.open";
    s18_01_vhost_connections_freed: "a connection that closes makes room for another";
    s18_01_user_connections: "max-connections of a user: one more is 530 at connection.open";
    s18_01_user_channels: "max-channels of a user: one more is 530, over all connections";
    s18_01_user_channels_freed: "a channel that closes makes room for another";
    s18_02_default_type: "the default queue type of a vhost is made where a declare names none";
    s18_02_default_type_unfit: "a queue that cannot be a quorum queue is classic all the same";
    s18_02_default_type_redeclared: "a queue of the default type is declared again without a type, and with it";
}

/// Logs in up to connection.open, which was sent.
fn opening(test: &Test, login: &Login) -> Step<Connection> {
    let connection = test.tcp()?;
    connection.greet()?;
    connection.start_ok(login);
    connection.tune()?;
    connection.tune_ok(login.channel_max, login.frame_max, login.heartbeat);
    connection.open(&login.vhost);
    Ok(connection)
}

fn s18_01_vhost_queues(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.limit("max-queues", 1)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("a"))?;
    channel.declare(&Queue::new("a"))?;
    channel.send(Queue::new("b").payload());
    let text = format!(
        "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '{}' (1) is reached",
        admin.vhost
    );
    channel.closes(406, id(50, 10), &text)
}

fn s18_01_vhost_no_queues(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.limit("max-queues", 0)?;
    let channel = admin.channel()?;
    channel.send(Queue::new("a").exclusive().payload());
    channel.closes(406, id(50, 10), "PRECONDITION_FAILED - cannot declare queue 'a': queue limit *")?;
    admin.limit("max-queues", -1)?;
    admin.channel()?.declare(&Queue::new("a")).map(drop)
}

fn s18_01_vhost_connections(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.limit("max-connections", 0)?;
    let text = format!(
        "NOT_ALLOWED - access to vhost '{}' refused for user '{}': connection limit (0) is reached",
        admin.vhost, test.target.user
    );
    opening(test, &admin.login())?.closes(530, id(10, 40), &text)
}

fn s18_01_vhost_connections_freed(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.limit("max-connections", 1)?;
    let first = admin.connect()?;
    becomes(test, &admin.login(), 530)?;
    first.close()?;
    // RabbitMQ counts it until the client's side is closed, too.
    drop(first);
    becomes(test, &admin.login(), 0)
}

/// Opens connections one after the other until one is refused with this code (0: is accepted): the broker counts a
/// moment later.
fn becomes(test: &Test, login: &Login, code: u16) -> Step {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let connection = opening(test, login)?;
        let Some(event) = connection.event(0, PATIENCE)? else { return fail("no answer to connection.open") };
        if event.id == id(10, 41) {
            connection.close()?;
            if code == 0 {
                return Ok(());
            }
        } else {
            let text = "NOT_ALLOWED - *: connection limit (1) is reached";
            check_close(&event, id(10, 50), 530, id(10, 40), text)?;
            connection.send(0, Payload::method(10, 51));
            if code == 530 {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    fail(format!("connections never came to {code}"))
}

fn s18_01_user_connections(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user("", "", "")?;
    admin.limit_user(&user, "max-connections", 0)?;
    let text =
        format!("NOT_ALLOWED - connection refused for user '{user}': user connection limit (0) is reached");
    opening(test, &login)?.closes(530, id(10, 40), &text)?;
    admin.limit_user(&user, "max-connections", -1)?;
    test.connect_as(&login)?.close()
}

fn s18_01_user_channels(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user("", "", "")?;
    admin.limit_user(&user, "max-channels", 2)?;
    let (first, second) = (test.connect_as(&login)?, test.connect_as(&login)?);
    let _channels = (first.channel()?, second.channel()?);
    std::thread::sleep(Duration::from_millis(500));
    second.send(2, Payload::method(20, 10).text(""));
    let text = format!(
        "NOT_ALLOWED - number of channels opened for user '{user}' has reached the maximum allowed user limit of 2"
    );
    second.closes(530, id(0, 0), &text)
}

fn s18_01_user_channels_freed(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user("", "", "")?;
    admin.limit_user(&user, "max-channels", 1)?;
    let connection = test.connect_as(&login)?;
    connection.channel()?.close()?;
    std::thread::sleep(Duration::from_millis(500));
    connection.channel()?.close()
}

/// A vhost that makes quorum queues.
fn quorum_vhost<'a>(test: &'a Test<'a>) -> Step<Admin<'a>> {
    Admin::with_vhost(test, &json!({"default_queue_type": "quorum"}))
}

fn type_of(admin: &Admin<'_>, queue: &str) -> Step<String> {
    let queue = admin.get(&format!("queues/{}/{queue}", admin.vhost))?;
    Ok(queue["type"].as_str().unwrap_or_default().to_owned())
}

fn s18_02_default_type(test: &Test) -> Step {
    let admin = quorum_vhost(test)?;
    admin.channel()?.declare(&Queue::new("q"))?;
    equal("type", type_of(&admin, "q")?, "quorum".to_owned())?;
    let queue = admin.get(&format!("queues/{}/q", admin.vhost))?;
    equal("argument", queue["arguments"]["x-queue-type"].clone(), json!("quorum"))
}

fn s18_02_default_type_unfit(test: &Test) -> Step {
    let admin = quorum_vhost(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("mine").exclusive())?;
    channel.declare(&Queue::new("passing").auto_delete())?;
    for name in ["mine", "passing"] {
        equal(name, type_of(&admin, name)?, "classic".to_owned())?;
    }
    Ok(())
}

fn s18_02_default_type_redeclared(test: &Test) -> Step {
    let admin = quorum_vhost(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("q"))?;
    channel.declare(&Queue::new("q"))?;
    channel.declare(&Queue::new("q").with("x-queue-type", "quorum"))?;
    channel.send(Queue::new("q").with("x-queue-type", "classic").payload());
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for {}: received 'classic' but current is 'quorum'",
        admin.queue_text("q")
    );
    channel.closes(406, id(50, 10), &text)
}
