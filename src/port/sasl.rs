//! SASL responses, read (semantics 1.8 to 1.13). Whether what they hold lets somebody in is the catalog's (`catalog::login`).

use leveret_codec::table::{self, AMQPValue};

use crate::catalog::login::Credentials;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::port::LoginRefused;

/// Reads a SASL response. 503 for a mechanism that does not exist (semantics 1.13), 502 for a response that cannot be
/// read.
pub(super) fn read_response(mechanism: &str, response: &[u8]) -> Result<Credentials, LoginRefused> {
    let malformed = LoginRefused::Malformed;
    let (user, password) = match mechanism {
        "PLAIN" => read_plain(response).map_err(malformed)?,
        "AMQPLAIN" => read_amqplain(response).map_err(malformed)?,
        unknown => {
            return Err(malformed(Fault::new(
                ReplyCode::CommandInvalid,
                format!("unknown authentication mechanism '{unknown}'"),
            )));
        }
    };
    match String::from_utf8(user) {
        Ok(user) => Ok(Credentials { user, password: Some(password) }),
        Err(_) => Err(LoginRefused::Credentials("the user name is not UTF-8".into())),
    }
}

/// NUL user NUL password (semantics 1.8). What was sent is not echoed: it holds a password.
fn read_plain(response: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let mut parts = response.split(|&byte| byte == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([]), Some(user), Some(password), None) => Ok((user.to_vec(), password.to_vec())),
        _ => Err(Fault::new(ReplyCode::SyntaxError, "response invalid")),
    }
}

/// A field table without its length (semantics 1.9).
fn read_amqplain(response: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let malformed = |text| Fault::new(ReplyCode::SyntaxError, text);
    let len = u32::try_from(response.len()).map_err(|_| malformed("AMQPLAIN auth info is too long"))?;
    let framed = [&len.to_be_bytes()[..], response].concat();
    table::check(&framed).map_err(|_| malformed("AMQPLAIN auth info is no field table"))?;
    let field = |name: &str| match table::find(&framed, name.as_bytes()) {
        Some(AMQPValue::LongString(value)) => Some(value.as_bytes().to_vec()),
        _ => None,
    };
    field("LOGIN")
        .zip(field("PASSWORD"))
        .ok_or_else(|| malformed("AMQPLAIN auth info is missing LOGIN or PASSWORD field"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(mechanism: &str, response: &[u8]) -> u16 {
        match read_response(mechanism, response) {
            Err(LoginRefused::Malformed(fault)) => fault.code.number(),
            Err(LoginRefused::Credentials(_)) => 403,
            Ok(_) => 0,
        }
    }

    #[test]
    fn plain_is_nul_user_nul_password_and_nothing_more() {
        let read = read_response("PLAIN", b"\0guest\0p w").unwrap();
        assert_eq!(read, Credentials { user: "guest".into(), password: Some(b"p w".to_vec()) });
        assert_eq!(codes("PLAIN", b"guest\0guest\0guest"), 502);
        assert_eq!(codes("PLAIN", b"\0guest\0guest\0"), 502);
        assert_eq!(codes("PLAIN", b"\0guest"), 502);
        assert_eq!(codes("CRAM-MD5", b""), 503);
        assert_eq!(codes("PLAIN", b"\0\xff\0x"), 403);
    }

    #[test]
    fn amqplain_is_a_table_without_its_length() {
        let response = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x02pw";
        let read = read_response("AMQPLAIN", response).unwrap();
        assert_eq!(read, Credentials { user: "guest".into(), password: Some(b"pw".to_vec()) });
        assert_eq!(codes("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest"), 502);
        assert_eq!(codes("AMQPLAIN", b"\x05LOG"), 502);
    }
}
