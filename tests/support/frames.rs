//! Frames as the clients of the tests write them.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::io::IoSlice;

use leveret_codec::frame::END;
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::table::{AMQPValue, FieldTable, short_string};
use leveret_codec::write::Output;

/// The frame of a method.
pub(crate) fn method(channel: u16, class: &AMQPClass) -> Vec<u8> {
    let mut output = Output::default();
    output.method(channel, class);
    let mut slices = [IoSlice::new(&[]); 4];
    let filled = output.chunks(&mut slices);
    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// A frame of a kind by its number, whatever is in it.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend(u32::try_from(payload.len()).expect("a small payload").to_be_bytes());
    bytes.extend(payload);
    bytes.push(END);
    bytes
}

/// A table of arguments or properties.
pub(crate) fn table(entries: Vec<(&str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(short_string(name), value);
    }
    table
}
