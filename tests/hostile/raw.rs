//! A client that speaks in bytes: enough of the protocol to get where the attack begins, and to read the answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use leveret_codec::frame::{self, FrameKind, PROTOCOL_HEADER};
use leveret_codec::method::{Method, amqp::AMQPClass, amqp::channel, amqp::connection, parse_method};

use crate::support::frames::frame;

/// What the broker said next.
#[derive(Debug)]
#[allow(dead_code, reason = "the fields are printed when an assertion fails")]
pub(crate) enum Answer {
    ConnectionClosed {
        code: u16,
        text: String,
    },
    ChannelClosed {
        code: u16,
        text: String,
    },
    /// basic.ack: confirmed up to here.
    Confirmed(u64),
    Other(Box<AMQPClass>),
    Eof,
}

pub(crate) struct RawClient {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawClient {
    pub(crate) fn connect(port: u16) -> RawClient {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        RawClient { stream, received: Vec::new() }
    }

    /// Up to connection.start.
    pub(crate) fn greet(port: u16) -> RawClient {
        let mut client = RawClient::connect(port);
        client.send(&PROTOCOL_HEADER);
        assert!(matches!(client.answer(), Answer::Other(_)), "connection.start");
        client
    }

    /// Up to an open channel 1, without heartbeats.
    pub(crate) fn open_channel(port: u16) -> RawClient {
        RawClient::open_channel_with(port, 0)
    }

    /// Up to an open channel 1, with heartbeats of so many seconds.
    pub(crate) fn open_channel_with(port: u16, heartbeat: u8) -> RawClient {
        let mut client = RawClient::greet(port);
        client.send(&frame(1, 0, &start_ok(&[0, 0, 0, 0], "guest", "guest")));
        assert!(matches!(client.answer(), Answer::Other(_)), "connection.tune");
        // tune-ok: channel_max 2047, frame_max 131072; then open "/", then channel.open.
        client.send(&frame(1, 0, &[0, 10, 0, 31, 0x07, 0xFF, 0, 2, 0, 0, 0, heartbeat]));
        client.send(&frame(1, 0, &[0, 10, 0, 40, 1, b'/', 0, 0]));
        assert!(matches!(client.answer(), Answer::Other(_)), "connection.open-ok");
        client.send(&frame(1, 1, &[0, 20, 0, 10, 0]));
        assert!(matches!(client.answer(), Answer::Other(_)), "channel.open-ok");
        client
    }

    pub(crate) fn wait_at_most(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a timeout can be set");
    }

    /// Sends; a broker that has closed already may refuse it.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next method the broker sends, heartbeats passed over.
    pub(crate) fn answer(&mut self) -> Answer {
        loop {
            if let Ok(Some(frame)) = frame::decode(&self.received, 0) {
                let len = frame.wire_len();
                let answer = (frame.kind == FrameKind::Method).then(|| read_method(frame.payload));
                self.received.drain(..len);
                if let Some(answer) = answer {
                    return answer;
                }
                continue;
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Answer::Eof,
                Ok(read) => self.received.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Answer::Eof,
                Err(error) => panic!("the broker neither answered nor closed: {error}"),
            }
        }
    }
}

fn read_method(payload: &[u8]) -> Answer {
    match parse_method(payload).expect("the broker sends sound methods") {
        Method::Other(class) => match *class {
            AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
                Answer::ConnectionClosed { code: close.reply_code, text: close.reply_text.to_string() }
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                Answer::ChannelClosed { code: close.reply_code, text: close.reply_text.to_string() }
            }
            other => Answer::Other(Box::new(other)),
        },
        Method::Ack { delivery_tag, .. } => Answer::Confirmed(delivery_tag),
        other => panic!("the broker sent {other:?}"),
    }
}

/// connection.start-ok by PLAIN, with these client properties (length bytes first).
pub(crate) fn start_ok(client_properties: &[u8], user: &str, password: &str) -> Vec<u8> {
    let mut payload = vec![0, 10, 0, 11];
    payload.extend_from_slice(client_properties);
    payload.extend_from_slice(b"\x05PLAIN");
    let response = format!("\0{user}\0{password}");
    payload.extend_from_slice(&u32::try_from(response.len()).expect("small").to_be_bytes());
    payload.extend_from_slice(response.as_bytes());
    payload.extend_from_slice(b"\x05en_US");
    payload
}

/// A start-ok frame whose client properties nest this deep.
pub(crate) fn nested_start_ok(levels: usize) -> Vec<u8> {
    let mut table: Vec<u8> = Vec::new();
    for _ in 0..levels {
        let mut outer = vec![1, b'a', b'F'];
        outer.extend_from_slice(&u32::try_from(table.len()).expect("small").to_be_bytes());
        outer.append(&mut table);
        table = outer;
    }
    let mut properties = u32::try_from(table.len()).expect("small").to_be_bytes().to_vec();
    properties.append(&mut table);
    frame(1, 0, &start_ok(&properties, "guest", "guest"))
}

pub(crate) fn publish_method(exchange: &str, routing_key: &str) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 40, 0, 0];
    for text in [exchange, routing_key] {
        payload.push(u8::try_from(text.len()).expect("a short string"));
        payload.extend_from_slice(text.as_bytes());
    }
    payload.push(0);
    payload
}

/// A content header without properties.
pub(crate) fn content_header(body_size: u64) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend_from_slice(&body_size.to_be_bytes());
    payload.extend_from_slice(&[0, 0]);
    payload
}
