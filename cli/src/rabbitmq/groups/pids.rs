//! Process ids, by which RabbitMQ's tools name connections and channels. There are no processes here: an id is made of the name that
//! a connection or channel has, so that whoever lists it finds it again by it.

use serde_json::Value;

use crate::rabbitmq::term::Term;

/// The id of what has this name.
pub(super) fn of(named: &Value) -> Term {
    named["name"].as_str().map_or(Term::Empty, |name| Term::Text(id(name)))
}

pub(super) fn id(name: &str) -> String {
    let hash = hash(name.as_bytes());
    format!("<leveret@localhost.{}.{}.0>", hash >> 32, hash & u64::from(u32::MAX))
}

/// Whether it looks like an id, of this broker or another.
pub(super) fn is_one(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    inner.is_some_and(|inner| {
        let numbers = inner.rsplit('.').take(3);
        inner.matches('.').count() >= 2
            && numbers
                .filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
                .count()
                == 3
    })
}

/// FNV-1a of 64 bits, which is the same in whatever build.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_one_and_is_always_the_same() {
        let id = id("127.0.0.1:42000 -> 127.0.0.1:5672");
        assert!(is_one(&id), "{id}");
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert!(is_one("<rabbit@a.example.1.2.3>") && is_one("<0.1.2>"));
        assert!(!is_one("nosuch") && !is_one("<a.b>") && !is_one("<1.x.2>") && !is_one("1.2.3"));
    }
}
