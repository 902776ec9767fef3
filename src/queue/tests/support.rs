//! What the tests of the queue share: messages and entries made up to need.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use leveret_codec::properties::{Field, Properties, encode_short_string};

use crate::model::ids::{Position, Timestamp};
use crate::model::message::{Body, Message, Origin};
use crate::queue::entry::{Entry, Returns, Stored};

/// Bodies are slices of this, so that large ones cost nothing.
static ZEROS: [u8; 40_000] = [0; 40_000];

/// What a test wants of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::queue) struct Spec {
    pub(in crate::queue) persistent: bool,
    pub(in crate::queue) priority: Option<u8>,
    pub(in crate::queue) expiration: Option<u64>,
    pub(in crate::queue) body: usize,
}

pub(in crate::queue) fn message(spec: Spec) -> Arc<Message> {
    let mut changes = Vec::new();
    if spec.persistent {
        changes.push((Field::DeliveryMode, Some(vec![2])));
    }
    if let Some(priority) = spec.priority {
        changes.push((Field::Priority, Some(vec![priority])));
    }
    if let Some(expiration) = spec.expiration {
        let text = expiration.to_string();
        changes.push((Field::Expiration, Some(encode_short_string(text.as_bytes()))));
    }
    let raw = Properties::default().with(&changes);
    let body = Body::whole(Bytes::from_static(&ZEROS[..spec.body]));
    let mut arena = BytesMut::new();
    Arc::new(Message::new(&mut arena, b"", b"q", Properties::trusted(&raw), body, Origin::Client))
}

pub(in crate::queue) fn entry(position: u64, expires_at: Option<u64>) -> Entry {
    Entry {
        message: message(Spec::default()),
        position: Position(position),
        expiry: expires_at.map(Timestamp).into(),
        returns: Returns::default(),
        stored: Stored::No,
        indexed: false,
    }
}
