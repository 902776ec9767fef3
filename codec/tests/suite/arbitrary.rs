//! Bytes of any kind: nothing in them makes the codec panic, and what it accepts keeps its promises.

use super::common::table;
use leveret_codec::frame::{FrameError, decode};
use leveret_codec::method::{parse_content_header, parse_method};
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{
    AMQPValue, check, check_headers, edit, encode, fields, find, parse, parse_headers,
};
use proptest::prelude::*;

/// Bytes in which lengths and types are likely to make sense.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(&b"tbBsUuIiLlfdDSxATFV"[..]).prop_map(|kind| vec![kind]),
        (0..40_u32).prop_map(|len| len.to_be_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
        (0..4_u8).prop_map(|len| vec![len]),
        table().prop_map(|table| encode(&table)),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn frames(bytes in plausible(), kind in prop::sample::select(&[1_u8, 2, 3, 8, 9][..]), frame_max in 0..100_u32) {
        let _ = decode(&bytes, frame_max);
        let framed = [&[kind, 0, 1][..], &bytes, &[0xCE]].concat();
        match decode(&framed, frame_max) {
            Ok(Some(frame)) => {
                prop_assert!(frame.wire_len() <= framed.len());
                prop_assert!(frame_max == 0 || frame.wire_len() <= usize::try_from(frame_max).unwrap() + 8);
            }
            Ok(None) => {}
            Err(error) => prop_assert_eq!(matches!(error, FrameError::UnknownKind { .. }), kind == 9),
        }
    }

    #[test]
    fn methods(class in 0..100_u8, method in 0..130_u8, arguments in plausible()) {
        let payload = [&[0, class, 0, method][..], &arguments].concat();
        let _ = parse_method(&payload);
        let _ = parse_method(&arguments);
        let _ = parse_content_header(&arguments);
    }

    #[test]
    fn properties(bytes in plausible(), flags: u16) {
        for raw in [[&flags.to_be_bytes()[..], &bytes].concat(), bytes] {
            let trusted = Properties::trusted(&raw);
            let _ = (trusted.headers(), trusted.header("a"), trusted.field(Field::ClusterId));
            let changed = trusted.with(&[(Field::Priority, Some(vec![1]))]);
            prop_assert_eq!(Properties::trusted(&changed).priority(), Some(1));
            if let Ok(parsed) = Properties::parse(&raw) {
                prop_assert_eq!(parsed.with(&[]), raw.clone());
                prop_assert!(Properties::parse(&changed).is_ok());
            }
        }
    }

    #[test]
    fn tables(bytes in plausible()) {
        let counted = [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat();
        for bytes in [bytes, counted] {
            let _ = (find(&bytes, b"a"), parse_headers(&bytes), fields(&bytes).count());
            let changed = edit(&bytes, &[("a", Some(AMQPValue::Void))]);
            prop_assert_eq!(check_headers(&changed), Ok(changed.len()));
            prop_assert_eq!(find(&changed, b"a"), Some(AMQPValue::Void));
            let Ok(len) = check(&bytes) else { continue };
            prop_assert!(len <= bytes.len());
            prop_assert_eq!(check_headers(&bytes), Ok(len));
            // What passed the check is read, whatever amq-protocol thinks of it.
            let parsed = parse(&bytes[..len]);
            prop_assert!(parsed.is_ok(), "{parsed:?}");
            prop_assert_eq!(format!("{:?}", parse_headers(&bytes[..len])), format!("{:?}", parsed.unwrap()));
            prop_assert_eq!(edit(&bytes[..len], &[]), &bytes[..len]);
        }
    }
}
