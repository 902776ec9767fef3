//! The client against a broker that says what a test has it say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;

/// A broker on loopback that takes one connection after the other. Of each it answers so many requests with these bytes, and closes it; it
/// tells the heads of the requests.
struct Scripted {
    uri: String,
    heads: std::sync::mpsc::Receiver<String>,
}

impl Scripted {
    /// What each connection is answered, request by request.
    fn with(connections: Vec<Vec<String>>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://u:p@{}", listener.local_addr().unwrap());
        let (told, heads) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for answers in connections {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                for answer in answers {
                    let Some(head) = request(&mut reader) else { break };
                    let _ = told.send(head);
                    write(&stream, &answer);
                }
            }
        });
        Scripted { uri, heads }
    }

    fn broker(&self) -> Broker {
        let patience = Some(Duration::from_secs(20));
        Broker::find(&Where { uri: Some(self.uri.clone()), patience, ..Where::default() }).unwrap()
    }

    /// The first line of the next request.
    fn asked(&self) -> String {
        self.heads.recv().unwrap().lines().next().unwrap_or_default().to_owned()
    }
}

fn write(mut stream: &TcpStream, answer: &str) {
    // Who hung up does not have to hear it.
    let _ = stream.write_all(answer.as_bytes());
}

/// The head of a request, whose body is read too.
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).ok()?)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn requests_of_a_command_share_a_connection_and_say_who_asks() {
    let scripted = Scripted::with(vec![vec![
        answer("200 OK", "[1]"),
        answer("204 No Content", ""),
        answer("200 OK", "{}"),
    ]]);
    let broker = scripted.broker();
    assert_eq!(broker.get("/api/a").unwrap(), serde_json::json!([1]));
    let head = scripted.heads.recv().unwrap();
    assert!(head.starts_with("GET /api/a HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Basic dTpw\r\n") && head.contains("host: 127.0.0.1:"), "{head}");
    let body = serde_json::json!({"a": 1});
    assert_eq!(broker.send(Method::PUT, "/api/b", Some(&body)).unwrap().status, 204);
    assert!(scripted.heads.recv().unwrap().ends_with("\r\n\r\n{\"a\":1}"));
    assert_eq!(broker.close("/api/c", "it hangs").unwrap().status, 200);
    assert!(scripted.heads.recv().unwrap().contains("x-reason: it hangs\r\n"));
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_again_but_nothing_is_posted_twice() {
    let once = || vec![answer("200 OK", "1")];
    let scripted = Scripted::with(vec![once(), once(), once(), once()]);
    let broker = scripted.broker();
    broker.get("/api/a").unwrap();
    broker.get("/api/b").unwrap();
    assert_eq!(
        (scripted.asked(), scripted.asked()),
        ("GET /api/a HTTP/1.1".into(), "GET /api/b HTTP/1.1".into())
    );
    let lost = broker.send(Method::POST, "/api/c", None).unwrap_err();
    assert_eq!(lost.kind, Kind::Unreachable);
    assert!(lost.what.contains("went away before it had answered"), "{lost}");
    broker.get("/api/d").unwrap();
    assert_eq!(scripted.asked(), "GET /api/d HTTP/1.1");
}

#[test]
fn refusals_have_their_kind_the_words_of_the_broker_and_what_to_do() {
    for (status, body, kind, what) in [
        (
            "400 Bad Request",
            r#"{"error":"bad_request","reason":"no\n  such\u001b thing"}"#,
            Kind::Refused,
            "the broker refused: no such thing (400 Bad Request)",
        ),
        (
            "401 Unauthorized",
            r#"{"error":"not_authorized"}"#,
            Kind::NotAllowed,
            "the broker refused: not_authorized (401 Unauthorized)",
        ),
        ("403 Forbidden", "", Kind::NotAllowed, "the broker answered 403 Forbidden"),
        ("404 Not Found", "<html>", Kind::NotFound, "the broker answered 404 Not Found"),
        ("503 Service Unavailable", "[]", Kind::Refused, "the broker answered 503 Service Unavailable"),
    ] {
        let scripted = Scripted::with(vec![vec![answer(status, body)]]);
        let failure = scripted.broker().get("/api/a").unwrap_err();
        assert_eq!((failure.kind, &*failure.what), (kind, what));
        assert_eq!(failure.status, status[..3].parse().ok());
        let about = failure.clone().about("the queue 'q'");
        assert_eq!(about.what == "the queue 'q' does not exist", kind == Kind::NotFound);
    }
    let scripted = Scripted::with(vec![vec![answer("200 OK", "<html>")]]);
    let failure = scripted.broker().get("/api/a").unwrap_err();
    assert_eq!(failure.advice, "Is it the management API that listens there?");
}

#[test]
fn an_answer_that_ends_in_the_middle_is_no_answer() {
    let cut = || vec!["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1, 2".to_owned()];
    let failure = Scripted::with(vec![cut()]).broker().get("/api/a").unwrap_err();
    assert_eq!(failure.kind, Kind::Unreachable);
    let scripted = Scripted::with(vec![cut()]);
    let broker = scripted.broker();
    let mut items = broker.list("/api/a").unwrap();
    assert_eq!(items.next_item().unwrap(), Some(1.into()));
    assert_eq!(items.next_item().unwrap_err().kind, Kind::Unreachable);
}

#[test]
fn a_listing_and_lines_come_as_they_are_written() {
    let chunked = |pieces: &[&str]| {
        let pieces: String = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{pieces}0\r\n\r\n")
    };
    let scripted = Scripted::with(vec![vec![
        chunked(&["[{\"name\":", "\"a\"},{\"na", "me\":\"b\"}]"]),
        chunked(&["one\ntw", "o\n", "thr", "ee"]),
    ]]);
    let broker = scripted.broker();
    let mut items = broker.list("/api/a").unwrap();
    let mut names = Vec::new();
    while let Some(item) = items.next_item().unwrap() {
        names.push(item["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["a", "b"]);
    let mut body = broker.open(Method::GET, "/api/b", Vec::new()).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = body.next_line().unwrap() {
        lines.push(line);
    }
    assert_eq!(lines, ["one", "two", "three"]);
}
