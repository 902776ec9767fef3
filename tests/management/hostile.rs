//! Clients that send nonsense, too much, too little or too slowly: the broker answers or hangs up, and others do not
//! notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::api::Managed;
use crate::support::lapin_client;

/// `guest:guest`.
const CREDENTIALS: &str = "authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

fn connect(managed: &Managed) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", managed.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Sends, and reads until the broker hangs up.
fn said(mut stream: TcpStream, request: &[u8]) -> String {
    // A broker that has hung up already may refuse the rest.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bodies_that_cannot_be_read_are_400_and_say_why() {
    let managed = Managed::start();
    let reason = |path: &str, body: &[u8]| {
        let (status, said) = managed.api.call("PUT", path, &[], body);
        assert_eq!(status, 400, "{path}: {said}");
        said["reason"].as_str().unwrap_or_default().to_owned()
    };
    let deep = format!("{{\"tags\":{}", "[".repeat(100_000));
    for path in ["users/u", "vhosts/v", "permissions/%2F/guest", "policies/%2F/p", "leveret/thresholds"] {
        for body in [&b"{"[..], b"nonsense", b"[]", b"5", b"{\"tags\":\"\xff\"}", deep.as_bytes(), b"\0\0"] {
            let reason = reason(path, body);
            assert!(
                reason.starts_with("not_json: "),
                "{path} {:?}: {reason}",
                body.escape_ascii().to_string()
            );
        }
        assert!(reason(path, b"\"{}\"").contains("doubly-JSON-encoded"));
    }
    assert_eq!(reason("users/u", b"{\"tags\":\"\"}x"), "not_json: trailing characters at line 1 column 12");
    let nested = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
    let policy = json!({"pattern": "", "definition": {"max-length": nested}});
    assert!(reason("policies/%2F/p", policy.to_string().as_bytes()).contains("nests deeper than 32 levels"));
}

#[test]
fn a_body_that_is_too_large_is_400_and_one_that_just_fits_is_read() {
    let managed = Managed::start();
    let body = |length: usize| {
        let frame = json!({"tags": "", "unknown": ""}).to_string().len();
        json!({"tags": "", "unknown": "x".repeat(length - frame)}).to_string()
    };
    let put = |length: usize| managed.api.call("PUT", "users/u", &[], body(length).as_bytes());
    assert_eq!(put(1 << 20), (201, Value::Null));
    let too_large = json!({"error": "bad_request", "reason": "Exceeded HTTP request body size limit"});
    for length in [(1 << 20) + 1, 5 << 20] {
        assert_eq!(put(length), (400, too_large.clone()));
    }
}

#[test]
fn what_is_no_request_is_answered_or_ends_the_connection() {
    let managed = Managed::start();
    let ask = |request: &[u8]| said(connect(&managed), request);
    assert!(ask(b"\x16\x03\x01\x02\x00\x01\x00 nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(ask(b"AMQP\x00\x00\x09\x01\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(ask(b"GET * HTTP/1.1\r\nhost: localhost\r\n\r\n").starts_with("HTTP/1.1 4"));
    let large = format!("GET /api/whoami HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(300 << 10));
    // Hung up on while it still sends, it may miss the answer.
    let answer = ask(large.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = format!("GET /api/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "/%2F".repeat(10_000));
    assert!(ask(long.as_bytes()).starts_with("HTTP/1.1 404"));
    let two = format!(
        "PUT /api/vhosts/a HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n{CREDENTIALS}\r\n{{}}"
    );
    assert!(ask(two.as_bytes()).starts_with("HTTP/1.1 400"));
    let cut = format!(
        "PUT /api/users/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n{CREDENTIALS}\r\n{{\"tags\":\"\"}}"
    );
    let answer = ask(cut.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!((managed.api.get("users/a").0, managed.api.get("vhosts/a").0), (404, 404));
}

/// Requests with bytes changed at random (the same ones in every run).
#[test]
fn requests_with_broken_bytes_leave_the_broker_well() {
    let managed = Managed::start();
    let body = json!({"pattern": "^a", "definition": {"max-length": 5}, "priority": 1, "apply-to": "all"})
        .to_string();
    let request = format!(
        "PUT /api/policies/%2F/p HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{CREDENTIALS}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(said(connect(&managed), request.as_bytes()).starts_with("HTTP/1.1 201"));
    let mut random = 1_u64;
    let mut draw = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    for _ in 0..300 {
        let mut broken = request.clone().into_bytes();
        for _ in 0..=draw(4) {
            let at = draw(broken.len());
            match draw(3) {
                0 => broken[at] = u8::try_from(draw(256)).unwrap(),
                1 => drop(broken.remove(at)),
                _ => broken.insert(at, u8::try_from(draw(256)).unwrap()),
            }
        }
        said(connect(&managed), &broken);
    }
    assert_eq!(managed.api.get("policies").0, 200);
}

#[test]
fn whoever_only_holds_connections_keeps_nobody_out() {
    let managed = Managed::start();
    let mut held: Vec<TcpStream> = (0..600).map(|_| connect(&managed)).collect();
    for stream in &mut held {
        let _ = stream.write_all(b"GET /api/whoami HTTP/1.1\r\nx: ");
    }
    let since = Instant::now();
    for _ in 0..20 {
        assert_eq!(managed.as_user("guest:guest").get("whoami").0, 200);
    }
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[test]
fn whoever_is_too_slow_is_hung_up_on() {
    let managed = Managed::start();
    let began = Instant::now();
    let half_head = format!("GET /api/whoami HTTP/1.1\r\n{CREDENTIALS}");
    let half_body =
        format!("PUT /api/users/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n{CREDENTIALS}\r\n{{");
    let slow = [("", ""), (&half_head, ""), (&half_body, "HTTP/1.1 408")].map(|(sent, answer)| {
        let mut stream = connect(&managed);
        stream.write_all(sent.as_bytes()).unwrap();
        (stream, answer)
    });
    for (mut stream, expected) in slow {
        let mut answer = Vec::new();
        // Reset or closed, but not left waiting.
        let outcome = stream.read_to_end(&mut answer);
        let waited = outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!waited, "still connected after {:?}", began.elapsed());
        assert!(answer.starts_with(expected.as_bytes()), "{}", answer.escape_ascii());
    }
    assert_eq!(managed.api.get("users/a").0, 404);
}

#[test]
fn listings_that_nobody_reads_hold_little_and_keep_only_their_user_waiting() {
    const QUEUES: usize = 180;
    let managed = Managed::start();
    for (user, rights) in [("reader", ".*"), ("lazy", ".*"), ("nobody", "")] {
        managed.api.change(&format!("users/{user}"), &json!({"password": "p", "tags": "management"}));
        if !rights.is_empty() {
            let all = json!({"configure": rights, "write": rights, "read": rights});
            managed.api.change(&format!("permissions/%2F/{user}"), &all);
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connection = runtime.block_on(lapin_client::connect(&managed.broker)).unwrap();
    runtime.block_on(async {
        let channel = connection.create_channel().await.unwrap();
        for number in 0..QUEUES {
            let mut arguments = FieldTable::default();
            arguments.insert("x-note".into(), AMQPValue::LongString("n".repeat(50_000).into()));
            let name = format!("q{number:03}");
            channel.queue_declare(name.into(), QueueDeclareOptions::default(), arguments).await.unwrap();
        }
    });
    let before = managed.broker.resident();
    // 9 MB each, of which the kernel takes some.
    let unread: Vec<TcpStream> = ["lazy:p", "nobody:p"]
        .into_iter()
        .flat_map(|credentials| {
            let authorization = BASE64_STANDARD.encode(credentials);
            let request = format!(
                "GET /api/queues HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {authorization}\r\n\r\n"
            );
            let managed = &managed;
            (0..40).map(move |_| {
                let mut stream = connect(managed);
                stream.write_all(request.as_bytes()).unwrap();
                stream
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    let reader = managed.as_user("reader:p");
    let since = Instant::now();
    let listed = reader.found("queues");
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|queue| queue["name"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..QUEUES).map(|number| format!("q{number:03}")).collect();
    assert_eq!(names, expected);
    assert_eq!(managed.as_user("nobody:p").found("queues"), json!([]));
    assert!(since.elapsed() < Duration::from_secs(10), "others do not wait: {:?}", since.elapsed());
    let (status, refused) = managed.as_user("lazy:p").get("queues");
    assert_eq!((status, &refused["error"]), (503, &json!("service_unavailable")), "{refused}");
    let grown = managed.broker.resident().saturating_sub(before);
    assert!(grown < 60 << 20, "{} MB for {} listings", grown >> 20, unread.len());
}
