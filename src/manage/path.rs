//! The path of a request, taken apart. A name is decoded after it was split off, for it may hold slashes: the vhost
//! `/` is `%2F` (semantics 20.3).

use super::answer::Refusal;
use super::percent::decode;

/// The segments behind `/api/`. 404 where the path is another one, 400 where a segment cannot be decoded. A slash at the
/// end is nothing.
pub(super) fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let path = path.strip_prefix("/api/").ok_or(Refusal::NotFound)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let decoded = path.split('/').map(|segment| {
        decode(segment)
            .ok_or_else(|| Refusal::bad(format!("the path segment '{segment}' is not percent-encoded UTF-8")))
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_before_they_are_decoded() {
        for (path, expected) in [
            ("/api/vhosts", &["vhosts"][..]),
            ("/api/vhosts/", &["vhosts"]),
            ("/api/queues/%2F/a%2fb%25+%20c", &["queues", "/", "a/b%+ c"]),
            ("/api/queues/%C3%BC/%2e%2e", &["queues", "ü", ".."]),
            ("/api/queues//q", &["queues", "", "q"]),
            ("/api/", &[""]),
        ] {
            assert_eq!(segments(path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_or_no_text_is_refused() {
        for path in ["/", "/api", "/apis/vhosts", "*", "/other/vhosts"] {
            assert!(matches!(segments(path), Err(Refusal::NotFound)), "{path}");
        }
        for path in ["/api/vhosts/%", "/api/vhosts/%2", "/api/vhosts/%zz", "/api/vhosts/%FF", "/api/%+1"] {
            assert!(matches!(segments(path), Err(Refusal::Bad(_))), "{path}");
        }
    }
}
