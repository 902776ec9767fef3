//! What bounds a connection, and what is known of its peer before it speaks. Only data; the checks stand where the
//! bounded things are.

use crate::model::names::Seed;

/// The bounds of a connection. The defaults are RabbitMQ's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Most open channels; 0: 65535 (semantics 1.17, 4.1).
    pub channel_max: u16,
    /// Most bytes of a frame, offered in connection.tune; 0: no bound (semantics 1.17).
    pub frame_max: u32,
    /// The heartbeat interval offered in connection.tune, in seconds; the client's answer wins (semantics 1.18).
    pub heartbeat_seconds: u16,
    /// Most bytes of a message body (semantics 2.5).
    pub max_message_size: u64,
    /// From the first byte to connection.open, in milliseconds (semantics 1.3).
    pub handshake_timeout_ms: u64,
    /// Most bytes of a frame before connection.tune-ok (semantics 1.4).
    pub initial_frame_max: u32,
    /// Most bytes that wait to be sent before no more input is acted on; one answer or message may exceed it.
    pub unwritten_bytes: usize,
    /// How long a client may take nothing of what waits to be sent, in milliseconds.
    pub send_timeout_ms: u64,
    /// How long a connection that ends waits each time for the client to take or answer something (semantics 0.7), in
    /// milliseconds.
    pub last_words_ms: u64,
    /// How long its end may take in all, in milliseconds.
    pub close_timeout_ms: u64,
    /// Most consumers of one channel (semantics 10.5).
    pub consumers_per_channel: usize,
    /// Most unacked deliveries of the consumers of one channel: deliveries pause there, as at a global prefetch.
    pub unacked_per_channel: usize,
    /// Most bytes of contents that are not complete and of transactions that are not committed, over all channels of a
    /// connection. The server may allow less.
    pub held_bytes: usize,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat_seconds: 60,
            max_message_size: 16 * 1024 * 1024,
            handshake_timeout_ms: 10_000,
            initial_frame_max: 8192,
            unwritten_bytes: 4 * 1024 * 1024,
            send_timeout_ms: 30_000,
            last_words_ms: 5_000,
            close_timeout_ms: 30_000,
            consumers_per_channel: 65_535,
            unacked_per_channel: 1_000_000,
            held_bytes: 128 * 1024 * 1024,
        }
    }
}

/// What the server knows of the peer when it connects.
#[derive(Clone, Copy, Debug)]
pub struct PeerInfo {
    /// The peer's address is a loopback one (semantics 1.16).
    pub loopback: bool,
    /// What generated names of this connection grow from (`amq.ctag-`); random, chosen by the server.
    pub seed: Seed,
}
