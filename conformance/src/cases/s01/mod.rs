//! Section 1, what its cases share: connections that stop at some point of the handshake. The cases are in `login`
//! and `tune`.

pub(super) mod login;
pub(super) mod tune;

use leveret_codec::method::MethodId;

use crate::connection::{Connection, Login};
use crate::outcome::Step;
use crate::test::Test;

/// A close of this code and text, or the end of the socket without a word.
pub(super) fn refused(
    test: &Test,
    connection: &Connection,
    code: u16,
    at_fault: MethodId,
    text: &str,
) -> Step {
    let said = connection.closes_or_ends(code, at_fault, text)?;
    test.answered(if said { "said" } else { "silent" });
    Ok(())
}

pub(super) fn start_ok(test: &Test, mechanism: &str, response: &[u8]) -> Step<Connection> {
    let connection = test.tcp()?;
    connection.greet()?;
    let login = Login { mechanism: mechanism.into(), response: response.to_vec(), ..test.login() };
    connection.start_ok(&login);
    Ok(connection)
}

/// A connection that was offered its limits.
pub(super) fn tuned(test: &Test) -> Step<Connection> {
    let connection = start_ok(test, "PLAIN", &test.login().response)?;
    connection.tune()?;
    Ok(connection)
}

/// A connection that accepted its limits and opened nothing.
pub(super) fn unopened(test: &Test) -> Step<Connection> {
    let connection = tuned(test)?;
    connection.tune_ok(2047, 131_072, 0);
    Ok(connection)
}
