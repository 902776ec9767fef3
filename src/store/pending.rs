//! Catalog operations as one row: kept in the journal from the transaction they belong to until they are in the
//! catalog's own file.

use super::wire::{self, Reader, put_varint};
use crate::model::op::CatalogOp;

pub(super) fn encode(ops: &[CatalogOp]) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    };
    for op in ops {
        match op {
            CatalogOp::Put { key, value } => {
                out.push(1);
                bytes(&mut out, key);
                bytes(&mut out, value);
            }
            CatalogOp::Delete { key } => {
                out.push(0);
                bytes(&mut out, key);
            }
        }
    }
    wire::sealed(out)
}

/// None where the row is damaged.
pub(super) fn decode(row: &[u8]) -> Option<Vec<CatalogOp>> {
    let mut reader = Reader(wire::unsealed(row)?);
    let bytes = |reader: &mut Reader<'_>| {
        let len = usize::try_from(reader.varint()?).ok()?;
        reader.take(len).map(<[u8]>::to_vec)
    };
    let mut ops = Vec::new();
    while !reader.is_empty() {
        ops.push(match reader.byte()? {
            1 => CatalogOp::Put { key: bytes(&mut reader)?, value: bytes(&mut reader)? },
            0 => CatalogOp::Delete { key: bytes(&mut reader)? },
            _ => return None,
        });
    }
    Some(ops)
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
        let mut row = encode(&ops);
        assert_eq!(decode(&row), Some(ops));
        row[0] = 0;
        assert_eq!(decode(&row), None);
    }
}
