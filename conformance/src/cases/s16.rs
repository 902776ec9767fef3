//! Section 16: permissions; also 1.22, which checks them anew. Needs the management interface.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::basic::{AMQPMethod, Cancel};
use serde_json::json;

use crate::admin::Admin;
use crate::channel::{bind, get};
use crate::connection::Login;
use crate::entity::{Consume, Exchange, Message, Queue};
use crate::outcome::{Step, equal};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, id};

cases! {
    s16_01_unanchored: "an expression is searched for anywhere in a name";
    s16_01_empty_is_nothing: "an empty expression allows no name";
    s16_02_declare_needs_configure: "declaring and deleting queues and exchanges need configure";
    s16_02_bind_needs_both: "bind needs write on the queue and read on the exchange";
    s16_02_publish_needs_write: "publish needs write on the exchange; the default one is amq.default";
    s16_02_reading_needs_read: "consume, get and purge need read on the queue";
    s16_02_dead_letter_needs_both: "x-dead-letter-exchange needs read on the queue and write on the exchange";
    s16_02_dead_letter_of_old: "where a queue exists, its x-dead-letter-exchange is compared, and nobody's permissions";
    s16_02_alternate_of_old: "where an exchange exists, its alternate-exchange is compared, and nobody's permissions";
    s16_02_passive_needs_any: "a passive declare needs any permission, whether there is something or not";
    s16_04_update_secret: "update-secret cancels the consumers whose queue the user may not read any more, and no others";
    s16_05_topic_write: "a topic permission refuses a publish by its routing key";
    s16_05_topic_read: "a topic permission refuses a binding by its routing key";
    s16_05_topic_copies: "the keys in CC need the topic permission, too";
    s16_05_topic_exchanges_only: "a topic permission of another exchange, or of one of another type, is none";
    s16_05_topic_variables: "{username} and {vhost} in a topic permission are expanded";
    s16_06_tags_do_not_matter: "a user without tags may do what its permissions allow";
    s16_07_given_hash: "a user made with a hash of its password logs in with the password";
    s16_08_vhost_deleted: "deleting a vhost closes its connections with 320";
    s16_08_user_deleted: "deleting a user closes its connections with 320";
    s16_08_permissions_cleared: "clearing permissions or changing the password closes nothing";
    s16_08_connection_closed: "a connection that is closed by the management interface hears the reason given";
}

fn refused(what: &str, user: &str) -> String {
    format!("ACCESS_REFUSED - {what} refused for user '{user}'")
}

fn s16_01_unanchored(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (_, login) = admin.user("rder", "", "")?;
    test.connect_as(&login)?.channel()?.declare(&Queue::new("orders"))?;
    Ok(())
}

fn s16_01_empty_is_nothing(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user("", ".*", ".*")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.send(Queue::new("q").payload());
    let text = refused(&format!("configure access to {}", admin.queue_text("q")), &user);
    channel.closes(403, id(50, 10), &text)
}

fn s16_02_declare_needs_configure(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.channel()?.declare(&Queue::new("q"))?;
    let (user, login) = admin.user("^mine", ".*", ".*")?;
    let connection = test.connect_as(&login)?;
    let queue = refused(&format!("configure access to {}", admin.queue_text("q")), &user);
    let exchange = refused(&format!("configure access to {}", admin.exchange_text("x")), &user);
    for (payload, at_fault, text) in [
        (Queue::new("q").payload(), id(50, 10), &queue),
        (crate::channel::delete("q", false, false), id(50, 40), &queue),
        (Exchange::new("x", "fanout").payload(), id(40, 10), &exchange),
        (crate::channel::delete_exchange("x", false), id(40, 20), &exchange),
    ] {
        let channel = connection.channel()?;
        channel.send(payload);
        channel.closes(403, at_fault, text)?;
    }
    Ok(())
}

fn s16_02_bind_needs_both(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.channel()?.declare(&Queue::new("q"))?;
    let (user, login) = admin.user("", "^w", "^r")?;
    let connection = test.connect_as(&login)?;
    let channel = connection.channel()?;
    channel.send(bind("q", "amq.direct", "k", &Table::new()));
    let text = refused(&format!("write access to {}", admin.queue_text("q")), &user);
    channel.closes(403, id(50, 20), &text)?;
    admin.permit(&user, "", "^q$", "^r")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.send(bind("q", "amq.direct", "k", &Table::new()));
    let text = refused(&format!("read access to {}", admin.exchange_text("amq.direct")), &user);
    channel.closes(403, id(50, 20), &text)
}

fn s16_02_publish_needs_write(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user("", "^w", "")?;
    let connection = test.connect_as(&login)?;
    for (exchange, printed) in [("amq.fanout", "amq.fanout"), ("", "amq.default")] {
        let channel = connection.channel()?;
        channel.publish(&Message::new(exchange, "k", "body"));
        let text = refused(&format!("write access to {}", admin.exchange_text(printed)), &user);
        channel.closes(403, id(60, 40), &text)?;
    }
    admin.permit(&user, "", r"^amq\.default$", "")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.confirm_select()?;
    channel.publish(&Message::new("", "nowhere", "body"));
    channel.confirmed(1, 1)
}

fn s16_02_reading_needs_read(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.channel()?.declare(&Queue::new("q"))?;
    let (user, login) = admin.user(".*", ".*", "^r")?;
    let connection = test.connect_as(&login)?;
    let text = refused(&format!("read access to {}", admin.queue_text("q")), &user);
    for (payload, at_fault) in [
        (Consume::new("q", "t").payload(), id(60, 20)),
        (get("q", true), id(60, 70)),
        (Payload::method(50, 30).short(0).text("q").bits(&[false]), id(50, 30)),
    ] {
        let channel = connection.channel()?;
        channel.send(payload);
        channel.closes(403, at_fault, &text)?;
    }
    Ok(())
}

fn s16_02_dead_letter_needs_both(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user(".*", "^w", "^q$")?;
    let connection = test.connect_as(&login)?;
    let channel = connection.channel()?;
    channel.send(Queue::new("other").with("x-dead-letter-exchange", "w").payload());
    let text = refused(&format!("read access to {}", admin.queue_text("other")), &user);
    channel.closes(403, id(50, 10), &text)?;
    let channel = connection.channel()?;
    channel.send(Queue::new("q").with("x-dead-letter-exchange", "x").payload());
    let text = refused(&format!("write access to {}", admin.exchange_text("x")), &user);
    channel.closes(403, id(50, 10), &text)?;
    connection.channel()?.declare(&Queue::new("q").with("x-dead-letter-exchange", "w")).map(drop)
}

fn s16_02_dead_letter_of_old(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let queue = |to: &str| Queue::new("q").with("x-dead-letter-exchange", to);
    admin.channel()?.declare(&queue("x"))?;
    let (_, login) = admin.user(".*", "^w", ".*")?;
    let connection = test.connect_as(&login)?;
    connection.channel()?.declare(&queue("x"))?;
    let channel = connection.channel()?;
    channel.send(queue("y").payload());
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for {}: received 'y' but current is 'x'",
        admin.queue_text("q")
    );
    channel.closes(406, id(50, 10), &text)
}

fn s16_02_alternate_of_old(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let exchange = |to: &str| Exchange::new("e", "fanout").with("alternate-exchange", to);
    admin.channel()?.declare_exchange(&exchange("x"))?;
    let (_, login) = admin.user(".*", "^w", ".*")?;
    let connection = test.connect_as(&login)?;
    connection.channel()?.declare_exchange(&exchange("x"))?;
    let channel = connection.channel()?;
    channel.send(exchange("y").payload());
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for {}: received 'y' but current is 'x'",
        admin.exchange_text("e")
    );
    channel.closes(406, id(40, 10), &text)
}

fn s16_02_passive_needs_any(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("s"))?;
    channel.declare_exchange(&Exchange::new("s", "fanout"))?;
    let (user, login) = admin.user("", "", "")?;
    let connection = test.connect_as(&login)?;
    for name in ["s", "missing"] {
        let queue = refused(&format!("configure access to {}", admin.queue_text(name)), &user);
        let exchange = refused(&format!("configure access to {}", admin.exchange_text(name)), &user);
        for (payload, at_fault, text) in [
            (Queue::new(name).passive().payload(), id(50, 10), &queue),
            (Exchange::new(name, "").passive().payload(), id(40, 10), &exchange),
        ] {
            let channel = connection.channel()?;
            channel.send(payload);
            channel.closes(403, at_fault, text)?;
        }
    }
    for (configure, write, read) in [("^s", "", ""), ("", "^s", ""), ("", "", "^s")] {
        admin.permit(&user, configure, write, read)?;
        let channel = test.connect_as(&login)?.channel()?;
        channel.declare(&Queue::new("s").passive())?;
        channel.declare_exchange(&Exchange::new("s", "").passive())?;
    }
    Ok(())
}

fn s16_04_update_secret(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user(".*", ".*", ".*")?;
    let connection = test.connect_as(&login)?;
    let channel = connection.channel()?;
    for name in ["open", "secret"] {
        channel.declare(&Queue::new(name))?;
        channel.consume(name, name)?;
    }
    admin.permit(&user, ".*", ".*", "^open")?;
    channel.silent()?;
    connection.send(0, Payload::method(10, 70).long_text("pw").text("because"));
    connection.expect(id(10, 71))?;
    let cancel = channel.expect(id(60, 30))?;
    let expected =
        AMQPClass::Basic(AMQPMethod::Cancel(Cancel { consumer_tag: "secret".into(), nowait: true }));
    equal("cancelled", cancel.method, expected)?;
    admin.channel()?.put("open", "body");
    equal("the other goes on", channel.delivery()?.body(), "body")
}

/// A user who may do everything, but for topics of amq.topic only what the expressions say.
fn topics<'a>(test: &'a Test<'a>, write: &str, read: &str) -> Step<(Admin<'a>, String, Login)> {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user(".*", ".*", ".*")?;
    admin.permit_topics(&user, "amq.topic", write, read)?;
    admin.channel()?.declare(&Queue::new("q"))?;
    Ok((admin, user, login))
}

fn s16_05_topic_write(test: &Test) -> Step {
    let (admin, user, login) = topics(test, "^a", "^a")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.confirm_select()?;
    channel.publish(&Message::new("amq.topic", "a.b", "body"));
    channel.confirmed(1, 1)?;
    channel.publish(&Message::new("amq.topic", "b.a", "body"));
    let text =
        refused(&format!("write access to topic 'b.a' in {}", admin.exchange_text("amq.topic")), &user);
    channel.closes(403, id(60, 40), &text)
}

fn s16_05_topic_read(test: &Test) -> Step {
    let (admin, user, login) = topics(test, "^a", "^a")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.bind("q", "amq.topic", "a.#")?;
    channel.send(bind("q", "amq.topic", "#", &Table::new()));
    let text = refused(&format!("read access to topic '#' in {}", admin.exchange_text("amq.topic")), &user);
    channel.closes(403, id(50, 20), &text)
}

fn s16_05_topic_copies(test: &Test) -> Step {
    let (admin, user, login) = topics(test, "^a", "^a")?;
    let channel = test.connect_as(&login)?.channel()?;
    let copies = Properties::new().headers(&Table::new().set("CC", &["b.a"][..]));
    channel.publish(&Message::new("amq.topic", "a.b", "body").with(copies));
    let text =
        refused(&format!("write access to topic 'b.a' in {}", admin.exchange_text("amq.topic")), &user);
    channel.closes(403, id(60, 40), &text)
}

fn s16_05_topic_exchanges_only(test: &Test) -> Step {
    let (admin, user, login) = topics(test, "^a", "^a")?;
    admin.permit_topics(&user, "amq.direct", "^a", "^a")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.declare_exchange(&Exchange::new("t", "topic"))?;
    channel.bind("q", "t", "b")?;
    channel.bind("q", "amq.direct", "b")?;
    channel.publish(&Message::new("t", "b", "body"));
    channel.publish(&Message::new("amq.direct", "b", "body"));
    channel.becomes("q", 2)
}

fn s16_05_topic_variables(test: &Test) -> Step {
    let (_admin, user, login) = topics(test, "^{username}-{vhost}$", "")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.confirm_select()?;
    channel.publish(&Message::new("amq.topic", &format!("{user}-{}", login.vhost), "body"));
    channel.confirmed(1, 1)?;
    channel.publish(&Message::new("amq.topic", &format!("x-{}", login.vhost), "body"));
    channel.closes(403, id(60, 40), "ACCESS_REFUSED - write access to topic *")
}

fn s16_06_tags_do_not_matter(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (_, login) = admin.user(".*", ".*", ".*")?;
    let channel = test.connect_as(&login)?.channel()?;
    channel.declare(&Queue::new("q"))?;
    channel.put("q", "body");
    channel.take_soon("q").map(drop)
}

fn s16_07_given_hash(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user(".*", ".*", ".*")?;
    // Salt 01020304, then the SHA-256 of it and the word `secret`.
    let digest = "307d90cdb5884533375959fba551782b1d36a4b4b0445d0104dc63a5ecdcf333";
    let mut hash = vec![1, 2, 3, 4];
    hash.extend((0..32).filter_map(|at| u8::from_str_radix(&digest[2 * at..2 * at + 2], 16).ok()));
    let body = json!({"password_hash": BASE64_STANDARD.encode(hash), "tags": ""});
    admin.put(&format!("users/{user}"), &body)?;
    let login = Login { response: format!("\0{user}\0secret").into_bytes(), ..login };
    test.connect_as(&login)?.close()
}

fn s16_08_vhost_deleted(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let connection = admin.connect()?;
    connection.channel()?.declare(&Queue::new("q").exclusive())?;
    admin.delete(&format!("vhosts/{}", admin.vhost))?;
    connection.closes(320, id(0, 0), &format!("CONNECTION_FORCED - vhost '{}' is deleted", admin.vhost))
}

fn s16_08_user_deleted(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user(".*", ".*", ".*")?;
    let connection = test.connect_as(&login)?;
    admin.delete(&format!("users/{user}"))?;
    connection.closes(320, id(0, 0), &format!("CONNECTION_FORCED - user '{user}' is deleted"))
}

fn s16_08_permissions_cleared(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let (user, login) = admin.user(".*", ".*", ".*")?;
    let connection = test.connect_as(&login)?;
    let channel = connection.channel()?;
    admin.put(&format!("users/{user}"), &json!({"password": "other", "tags": ""}))?;
    admin.delete(&format!("permissions/{}/{user}", admin.vhost))?;
    channel.silent()?;
    connection.channel()?.close()
}

fn s16_08_connection_closed(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let connection = admin.connect()?;
    let path = format!("vhosts/{}/connections", admin.vhost);
    let listed = admin.becomes(&path, |listed| listed.as_array().is_some_and(|all| all.len() == 1))?;
    let name = listed[0]["name"].as_str().unwrap_or_default().replace(' ', "%20").replace('>', "%3E");
    admin.delete(&format!("connections/{name}"))?;
    equal("listed", listed[0]["vhost"].as_str(), Some(&*admin.vhost))?;
    connection.closes(320, id(0, 0), "CONNECTION_FORCED - because")
}
