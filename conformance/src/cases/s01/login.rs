//! Section 1, the first half: protocol header, connection.start, and who may log in (semantics 1.1 to 1.15).

use std::time::{Duration, Instant};

use leveret_codec::table::AMQPValue;

use super::{refused, start_ok, unopened};
use crate::assembly::Input;
use crate::channel::Channel;
use crate::connection::{Connection, Greeting, Login, PATIENCE};
use crate::entity::Queue;
use crate::outcome::{Step, Stop, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Table, id};

cases! {
    s1_01_header: "AMQP 0 0 9 1 is answered with connection.start";
    s1_01_header_0_9: "AMQP 1 1 0 9 is taken for 0-9-1";
    s1_01_header_in_pieces: "a protocol header byte by byte is waited for";
    s1_01_header_other_0_9: "0-9-0, 0-9-2 and 0-10 are answered with AMQP 0 0 9 1 and the end of the socket";
    s1_01_header_0_8: "the header of AMQP 0-8",
        differs("AMQP 3 1 0 0", "AMQP 0 0 9 1", "RabbitMQ names AMQP 1.0, which Leveret does not speak");
    s1_01_header_1_0: "the header of AMQP 1.0 without SASL",
        differs("AMQP 3 1 0 0", "AMQP 0 0 9 1", "RabbitMQ names AMQP 1.0, which Leveret does not speak");
    s1_01_header_http: "an HTTP request instead of a header",
        differs("AMQP 3 1 0 0", "AMQP 0 0 9 1", "RabbitMQ names AMQP 1.0, which Leveret does not speak");
    s1_01_header_tls: "a TLS hello on the plain port",
        differs("AMQP 3 1 0 0", "AMQP 0 0 9 1", "RabbitMQ names AMQP 1.0, which Leveret does not speak");
    s1_03_nothing_sent: "who sends nothing is dropped after ten seconds, without a word";
    s1_03_half_a_header: "who sends half a header is dropped after ten seconds";
    s1_03_never_opened: "who logs in and never opens a vhost is dropped after ten seconds";
    s1_04_large_start_ok: "start-ok may have 8192 bytes before a frame_max was negotiated";
    s1_04_too_large_start_ok: "start-ok of more than 8192 bytes is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_05_start: "connection.start is of version 0-9 and offers PLAIN, AMQPLAIN and en_US";
    s1_05_other_locale: "a locale that was not offered is no matter";
    s1_06_server_properties: "the server says who it is, in long strings";
    s1_06_capabilities: "the nine capabilities are there and true";
    s1_07_cancel_notify: "a client that can take it is told of a cancelled consumer";
    s1_07_no_cancel_notify: "a client that cannot is not told";
    s1_08_plain: "PLAIN is NUL, user, NUL, password";
    s1_08_plain_authorization: "PLAIN with something before the first NUL is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_08_plain_trailing: "PLAIN with a third NUL is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_08_plain_without_password: "PLAIN without a second NUL is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_09_amqplain: "AMQPLAIN is a table without its length";
    s1_09_amqplain_without_password: "AMQPLAIN without PASSWORD is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_09_amqplain_garbage: "AMQPLAIN that is no table is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_09_amqplain_wrong_password: "AMQPLAIN with a wrong password is 403 and names the mechanism";
    s1_11_anonymous: "ANONYMOUS needs no password, where it is offered";
    s1_12_challenge: "RABBIT-CR-DEMO asks for the password with connection.secure, where it is offered";
    s1_13_unknown_mechanism: "a mechanism that was not offered is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_14_blank_password: "an empty password is refused";
    s1_15_refused: "a wrong password is 403 at 0.0 for a client that can take it";
    s1_15_unknown_user: "an unknown user is told the same as one with a wrong password";
    s1_15_refused_without_capability: "a wrong password is the end of the socket for other clients";
}

/// The answer to these first eight bytes: a protocol header and the end of the socket.
fn turned_away(test: &Test, header: &[u8; 8]) -> Step<[u8; 8]> {
    let connection = test.tcp()?;
    connection.write(header);
    match connection.read(PATIENCE)? {
        Input::ProtocolHeader(answer) => connection.ends().map(|()| answer),
        other => fail(format!("expected a protocol header, saw {other:?}")),
    }
}

/// The same, where it may be either of two headers.
fn turned_away_by_either(test: &Test, header: &[u8; 8]) -> Step {
    match &turned_away(test, header)? {
        b"AMQP\x03\x01\x00\x00" => test.answered("AMQP 3 1 0 0"),
        b"AMQP\x00\x00\x09\x01" => test.answered("AMQP 0 0 9 1"),
        other => return fail(format!("a protocol header of {other:?}")),
    }
    Ok(())
}

fn s1_01_header(test: &Test) -> Step {
    test.tcp()?.greet().map(drop)
}

fn s1_01_header_0_9(test: &Test) -> Step {
    let connection = test.tcp()?;
    connection.write(b"AMQP\x01\x01\x00\x09");
    connection.expect(id(10, 10))?;
    connection.start_ok(&test.login());
    connection.tune().map(drop)
}

fn s1_01_header_in_pieces(test: &Test) -> Step {
    let connection = test.tcp()?;
    for byte in b"AMQP\x00\x00\x09" {
        connection.write(&[*byte]);
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure(connection.event(0, Duration::from_millis(200))?.is_none(), "an answer to seven bytes")?;
    connection.write(&[1]);
    connection.expect(id(10, 10)).map(drop)
}

fn s1_01_header_other_0_9(test: &Test) -> Step {
    for (major, revision) in [(9, 0), (9, 2), (10, 0)] {
        let answer = turned_away(test, &[b'A', b'M', b'Q', b'P', 0, 0, major, revision])?;
        equal("header", &answer, b"AMQP\x00\x00\x09\x01")?;
    }
    Ok(())
}

fn s1_01_header_0_8(test: &Test) -> Step {
    turned_away_by_either(test, b"AMQP\x01\x01\x08\x00")
}

fn s1_01_header_1_0(test: &Test) -> Step {
    turned_away_by_either(test, b"AMQP\x00\x01\x00\x00")
}

fn s1_01_header_http(test: &Test) -> Step {
    turned_away_by_either(test, b"GET / HT")
}

fn s1_01_header_tls(test: &Test) -> Step {
    turned_away_by_either(test, b"\x16\x03\x01\x02\x00\x01\x00\x01")
}

/// The socket ends ten seconds after `start`, give or take.
fn times_out(connection: &Connection, start: Instant) -> Step {
    connection.ends_within(Duration::from_secs(20))?;
    let took = start.elapsed();
    ensure(took > Duration::from_secs(9), "dropped before ten seconds were over")?;
    ensure(took < Duration::from_secs(15), "dropped long after ten seconds")
}

fn s1_03_nothing_sent(test: &Test) -> Step {
    let start = Instant::now();
    times_out(&test.tcp()?, start)
}

fn s1_03_half_a_header(test: &Test) -> Step {
    let start = Instant::now();
    let connection = test.tcp()?;
    connection.write(b"AMQP");
    times_out(&connection, start)
}

fn s1_03_never_opened(test: &Test) -> Step {
    let start = Instant::now();
    times_out(&unopened(test)?, start)
}

/// Sends a start-ok with this many bytes of payload.
fn sized_start_ok(test: &Test, size: usize) -> Step<Connection> {
    let connection = test.tcp()?;
    connection.greet()?;
    let mut login = test.login();
    let fixed = 4 + login.properties.encode().len() + 6 + 4 + login.response.len() + 6;
    // A field adds its name with a length octet, its type, and four octets for the length of its text.
    let padding = "x".repeat(size - fixed - 4 - 1 - 4);
    login.properties = login.properties.set("pad", padding.as_str());
    connection.start_ok(&login);
    Ok(connection)
}

fn s1_04_large_start_ok(test: &Test) -> Step {
    sized_start_ok(test, 8192)?.tune().map(drop)
}

fn s1_04_too_large_start_ok(test: &Test) -> Step {
    let connection = sized_start_ok(test, 8193)?;
    refused(test, &connection, 501, id(0, 0), "FRAME_ERROR - *")
}

fn s1_05_start(test: &Test) -> Step {
    let Greeting { version, mechanisms, locales, .. } = test.tcp()?.greet()?;
    equal("version", version, (0, 9))?;
    let mechanisms: Vec<&str> = mechanisms.split(' ').collect();
    ensure(mechanisms.contains(&"PLAIN"), "PLAIN is missing")?;
    ensure(mechanisms.contains(&"AMQPLAIN"), "AMQPLAIN is missing")?;
    ensure(locales.split(' ').any(|locale| locale == "en_US"), "en_US is missing")
}

fn s1_05_other_locale(test: &Test) -> Step {
    let connection = test.tcp()?;
    connection.greet()?;
    let login = test.login();
    let payload = Payload::method(10, 11).table(&login.properties).text(&login.mechanism);
    connection.send(0, payload.long_text(&login.response).text("xx_YY"));
    connection.tune().map(drop)
}

fn s1_06_server_properties(test: &Test) -> Step {
    let properties = test.tcp()?.greet()?.properties;
    for name in ["cluster_name", "copyright", "information", "platform", "product", "version"] {
        match properties.inner().get(name) {
            Some(AMQPValue::LongString(text)) if !text.as_bytes().is_empty() => {}
            other => return fail(format!("{name} is {other:?}")),
        }
    }
    Ok(())
}

fn s1_06_capabilities(test: &Test) -> Step {
    let properties = test.tcp()?.greet()?.properties;
    let Some(AMQPValue::FieldTable(capabilities)) = properties.inner().get("capabilities") else {
        return fail("no capabilities");
    };
    for name in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ] {
        equal(name, capabilities.inner().get(name), Some(&AMQPValue::Boolean(true)))?;
    }
    Ok(())
}

/// A channel of this login whose consumer's queue was just deleted by somebody else.
fn consumer_loses_queue(test: &Test, login: &Login) -> Step<Channel> {
    let (consuming, other) = (test.connect_as(login)?.channel()?, test.channel()?);
    let name = test.queue("q");
    consuming.declare(&Queue::new(&name))?;
    consuming.consume(&name, "c")?;
    other.delete(&name)?;
    Ok(consuming)
}

fn s1_07_cancel_notify(test: &Test) -> Step {
    consumer_loses_queue(test, &test.login())?.expect(id(60, 30)).map(drop)
}

fn s1_07_no_cancel_notify(test: &Test) -> Step {
    let channel = consumer_loses_queue(test, &test.login().plain())?;
    channel.silent()?;
    channel.sync()
}

fn s1_08_plain(test: &Test) -> Step {
    let response = format!("\0{}\0{}", test.target.user, test.target.password);
    start_ok(test, "PLAIN", response.as_bytes())?.tune().map(drop)
}

/// A PLAIN response that is 502, where the broker says so.
fn plain_refused(test: &Test, response: &str) -> Step {
    let connection = start_ok(test, "PLAIN", response.as_bytes())?;
    refused(test, &connection, 502, id(10, 11), "SYNTAX_ERROR - *")
}

fn s1_08_plain_authorization(test: &Test) -> Step {
    let (user, password) = (&test.target.user, &test.target.password);
    plain_refused(test, &format!("{user}\0{user}\0{password}"))
}

fn s1_08_plain_trailing(test: &Test) -> Step {
    plain_refused(test, &format!("\0{}\0{}\0", test.target.user, test.target.password))
}

fn s1_08_plain_without_password(test: &Test) -> Step {
    plain_refused(test, &format!("\0{}", test.target.user))
}

/// An AMQPLAIN response: a table without its four length bytes.
fn amqplain(table: &Table) -> Vec<u8> {
    table.encode().split_off(4)
}

fn s1_09_amqplain(test: &Test) -> Step {
    let table = Table::new().set("LOGIN", &test.target.user).set("PASSWORD", &test.target.password);
    start_ok(test, "AMQPLAIN", &amqplain(&table))?.tune().map(drop)
}

fn s1_09_amqplain_without_password(test: &Test) -> Step {
    let table = Table::new().set("LOGIN", &test.target.user);
    let connection = start_ok(test, "AMQPLAIN", &amqplain(&table))?;
    refused(test, &connection, 502, id(10, 11), "SYNTAX_ERROR - AMQPLAIN auth info * LOGIN or PASSWORD field")
}

fn s1_09_amqplain_garbage(test: &Test) -> Step {
    let connection = start_ok(test, "AMQPLAIN", b"\x05LOG")?;
    refused(test, &connection, 502, id(10, 11), "SYNTAX_ERROR - *")
}

fn s1_09_amqplain_wrong_password(test: &Test) -> Step {
    let table = Table::new().set("LOGIN", &test.target.user).set("PASSWORD", "not this one");
    let connection = start_ok(test, "AMQPLAIN", &amqplain(&table))?;
    connection.closes(403, id(0, 0), &login_refused("AMQPLAIN"))
}

/// Skips the case where a mechanism is not offered.
fn offered(test: &Test, mechanism: &str) -> Step {
    let offered = test.tcp()?.greet()?.mechanisms;
    if offered.split(' ').any(|name| name == mechanism) {
        return Ok(());
    }
    Err(Stop::Skip(format!("{mechanism} is not offered")))
}

fn s1_11_anonymous(test: &Test) -> Step {
    offered(test, "ANONYMOUS")?;
    start_ok(test, "ANONYMOUS", b"")?.tune().map(drop)
}

fn s1_12_challenge(test: &Test) -> Step {
    offered(test, "RABBIT-CR-DEMO")?;
    let connection = start_ok(test, "RABBIT-CR-DEMO", test.target.user.as_bytes())?;
    connection.expect(id(10, 20))?;
    let answer = format!("My password is {}", test.target.password);
    connection.send(0, Payload::method(10, 21).long_text(answer));
    connection.tune().map(drop)
}

fn s1_13_unknown_mechanism(test: &Test) -> Step {
    let connection = start_ok(test, "CRAM-MD5", b"")?;
    let text = "COMMAND_INVALID - unknown authentication mechanism 'CRAM-MD5'";
    refused(test, &connection, 503, id(10, 11), text)
}

fn login_refused(mechanism: &str) -> String {
    format!(
        "ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. For details see the broker \
         logfile."
    )
}

fn s1_14_blank_password(test: &Test) -> Step {
    let response = format!("\0{}\0", test.target.user);
    let connection = start_ok(test, "PLAIN", response.as_bytes())?;
    connection.closes(403, id(0, 0), &login_refused("PLAIN"))
}

fn s1_15_refused(test: &Test) -> Step {
    let response = format!("\0{}\0not this one", test.target.user);
    let connection = start_ok(test, "PLAIN", response.as_bytes())?;
    connection.closes(403, id(0, 0), &login_refused("PLAIN"))
}

fn s1_15_unknown_user(test: &Test) -> Step {
    let connection = start_ok(test, "PLAIN", b"\0nobody of this name\0guest")?;
    connection.closes(403, id(0, 0), &login_refused("PLAIN"))
}

fn s1_15_refused_without_capability(test: &Test) -> Step {
    let connection = test.tcp()?;
    connection.greet()?;
    let mut login = test.login().plain();
    login.response = format!("\0{}\0not this one", test.target.user).into_bytes();
    connection.start_ok(&login);
    connection.ends()
}
