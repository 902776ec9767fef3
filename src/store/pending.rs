//! Catalog operations as one row: kept in the journal from the transaction they belong to until those of the next one are
//! written. So what the journal says the catalog must hold is never more than one row ahead of it, and a catalog that
//! lost its last transaction is repaired from it. A row names the one before it: a catalog that has not even that one is
//! an older catalog.

use super::wire::{self, Reader, put_varint};
use crate::model::op::CatalogOp;

const DELETE: u8 = 0;
const PUT: u8 = 1;
/// Begins a row: the number of the row before it follows.
const AFTER: u8 = 2;

/// A row, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// The number of the row before it; None in rows of earlier versions, which do not say it.
    pub(super) after: Option<u64>,
    pub(super) ops: Vec<CatalogOp>,
}

pub(super) fn encode(after: u64, ops: &[CatalogOp]) -> Vec<u8> {
    let mut out = vec![AFTER];
    put_varint(&mut out, after);
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    };
    for op in ops {
        match op {
            CatalogOp::Put { key, value } => {
                out.push(PUT);
                bytes(&mut out, key);
                bytes(&mut out, value);
            }
            CatalogOp::Delete { key } => {
                out.push(DELETE);
                bytes(&mut out, key);
            }
        }
    }
    wire::sealed(out)
}

/// None where the row is damaged.
pub(super) fn decode(row: &[u8]) -> Option<Pending> {
    let mut reader = Reader(wire::unsealed(row)?);
    let bytes = |reader: &mut Reader<'_>| {
        let len = usize::try_from(reader.varint()?).ok()?;
        reader.take(len).map(<[u8]>::to_vec)
    };
    let mut pending = Pending { after: None, ops: Vec::new() };
    while !reader.is_empty() {
        let op = match reader.byte()? {
            PUT => CatalogOp::Put { key: bytes(&mut reader)?, value: bytes(&mut reader)? },
            DELETE => CatalogOp::Delete { key: bytes(&mut reader)? },
            AFTER => {
                pending.after = Some(reader.varint()?);
                continue;
            }
            _ => return None,
        };
        pending.ops.push(op);
    }
    Some(pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_back() {
        let ops = vec![
            CatalogOp::Put { key: b"key".to_vec(), value: vec![7; 300] },
            CatalogOp::Delete { key: Vec::new() },
        ];
        let mut row = encode(300, &ops);
        assert_eq!(decode(&row), Some(Pending { after: Some(300), ops }));
        row[0] = 0;
        assert_eq!(decode(&row), None);
    }
}
