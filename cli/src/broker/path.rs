//! Paths of the management API, put together from names that may hold anything.

use std::fmt::Write;

/// A path with its query. Names and values are percent-encoded as they are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// `/api/` and this, as it stands: `Path::api("health/checks/alarms")`.
    #[must_use]
    pub fn api(rest: &str) -> Path {
        Path::from(&*format!("/api/{rest}"))
    }

    /// With a further segment, which is a name of something.
    #[must_use]
    pub fn segment(mut self, name: &str) -> Path {
        self.text.push('/');
        encode(&mut self.text, name);
        self
    }

    /// With further segments that stand as they are.
    #[must_use]
    pub fn fixed(mut self, segments: &str) -> Path {
        self.text.push('/');
        self.text.push_str(segments);
        self
    }

    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Path {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        encode(&mut self.text, name);
        self.text.push('=');
        encode(&mut self.text, value);
        self
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A path that stands as it is, from its first slash.
impl From<&str> for Path {
    fn from(text: &str) -> Path {
        Path { text: text.to_owned(), has_query: text.contains('?') }
    }
}

/// A name, percent-encoded as in a path.
#[must_use]
pub fn encoded(name: &str) -> String {
    let mut text = String::new();
    encode(&mut text, name);
    text
}

fn encode(text: &mut String, name: &str) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_what_is_fixed_is_not() {
        let path = Path::api("queues").segment("/").segment("a b/ä").fixed("get").query("a", "1,2");
        assert_eq!(path.query("b&", "=").as_str(), "/api/queues/%2F/a%20b%2F%C3%A4/get?a=1%2C2&b%26=%3D");
        assert_eq!(Path::from("/api/x?y=1").query("z", "2").as_str(), "/api/x?y=1&z=2");
    }
}
