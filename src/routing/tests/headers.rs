//! Headers matching: comparisons as RabbitMQ 4.3 made them when it was asked, and the index held against a matcher
//! that looks at every binding.

use leveret_codec::table::{AMQPValue, DecimalValue, FieldArray};
use proptest::prelude::*;

use super::*;
use crate::routing::ExchangeKind;

const MODES: [&str; 4] = ["all", "any", "all-with-x", "any-with-x"];

fn matched(arguments: &FieldTable, headers: &FieldTable) -> bool {
    let mut routes = ExchangeRoutes::new(ExchangeKind::Headers, &none());
    assert_eq!(routes.bind(queue(1), "ignored", arguments), Ok(true));
    !reached(&routes, "k", headers).is_empty()
}

#[test]
fn values_compare_across_widths_but_not_across_kinds() {
    use AMQPValue::{
        Boolean, ByteArray, DecimalValue as Decimal, Double, FieldArray as Array, FieldTable as Table, Float,
        LongInt, LongLongInt, LongUInt, ShortInt, ShortShortInt, ShortShortUInt, ShortUInt, Timestamp, Void,
    };
    let bytes = |bytes: &[u8]| ByteArray(bytes.into());
    let array = |items: Vec<AMQPValue>| Array(FieldArray::from(items));
    let decimal = |scale, value| Decimal(DecimalValue { scale, value });
    for (bound, given, equal) in [
        (LongInt(5), LongLongInt(5), true),
        (ShortShortInt(-1), LongInt(-1), true),
        (ShortShortUInt(255), LongInt(255), true),
        (ShortInt(-1), LongInt(-1), true),
        (ShortUInt(65535), LongInt(65535), true),
        (LongUInt(u32::MAX), LongLongInt(u32::MAX.into()), true),
        (ShortShortUInt(128), ShortShortInt(-128), false),
        (Timestamp(5), Timestamp(5), true),
        (LongInt(1), Double(1.0), false),
        (Float(1.5), Double(1.5), true),
        (Float(0.1), Double(0.1), false),
        (Double(0.0), Double(-0.0), false),
        (text("a"), bytes(b"a"), true),
        (text("a"), text("b"), false),
        (text("1"), LongInt(1), false),
        (Boolean(true), text("true"), false),
        (Boolean(true), Boolean(true), true),
        (LongInt(5), Void, false),
        (text("undefined"), Void, false),
        (decimal(1, 15), decimal(1, 15), true),
        (decimal(1, 15), decimal(2, 150), false),
        (decimal(1, 15), Double(1.5), false),
        (array(vec![LongInt(5)]), array(vec![LongInt(5)]), true),
        (array(vec![LongInt(5)]), array(vec![LongLongInt(5)]), false),
        (Table(fields([("a", LongInt(1))])), Table(fields([("a", LongInt(1))])), true),
        (Table(fields([("a", LongInt(1))])), Table(fields([("a", LongInt(2))])), false),
        // A binding without value asks for the header alone.
        (Void, LongInt(5), true),
        (Void, Void, true),
    ] {
        let found = matched(&fields([("k", bound.clone())]), &fields([("k", given.clone())]));
        assert_eq!(found, equal, "bound {bound:?}, given {given:?}");
    }
    assert!(!matched(&fields([("k", Void)]), &none()));
}

#[test]
fn modes_decide_how_many_must_match_and_whether_x_counts() {
    let one = || AMQPValue::LongInt(1);
    let case = |mode: &str, wanted: &[&str], given: &[&str]| {
        let mut arguments = fields(wanted.iter().map(|&name| (name, one())));
        arguments.insert("x-match".into(), text(mode));
        matched(&arguments, &fields(given.iter().map(|&name| (name, one()))))
    };
    assert!(case("all", &["a", "b"], &["a", "b", "c"]));
    assert!(!case("all", &["a", "b"], &["a"]));
    assert!(case("any", &["a", "b"], &["b"]));
    assert!(!case("any", &["a", "b"], &["c"]));
    assert!(case("all", &["x-a"], &[]), "x- does not count, so nothing is asked for");
    assert!(!case("any", &["x-a"], &["x-a"]));
    assert!(!case("all-with-x", &["x-a"], &[]));
    assert!(case("all-with-x", &["x-a"], &["x-a"]));
    assert!(case("any-with-x", &["x-a", "b"], &["x-a"]));
    assert!(!case("all", &["X-a"], &[]), "only lower case");
    assert!(case("all", &[], &[]));
    assert!(case("all-with-x", &[], &["a"]));
    assert!(!case("any", &[], &["a"]));
    assert!(!case("any-with-x", &[], &["x-match"]));
    assert!(matched(&none(), &none()), "all is the default");
    assert!(!matched(&fields([("a", one()), ("b", one())]), &fields([("a", one())])), "all is the default");
}

#[test]
fn a_wrong_x_match_is_refused_as_rabbitmq_does() {
    for (value, expected) in [
        (
            text("bogus"),
            "Invalid x-match field value <<\"bogus\">>; expected all, any, all-with-x, or any-with-x",
        ),
        (text(""), "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"),
        (AMQPValue::LongInt(1), "Invalid x-match field type signedint (value 1); expected longstr"),
        (AMQPValue::Void, "Invalid x-match field type void (value undefined); expected longstr"),
        (
            AMQPValue::ByteArray(b"all"[..].into()),
            "Invalid x-match field type binary (value <<\"all\">>); expected longstr",
        ),
    ] {
        let mut routes = ExchangeRoutes::new(ExchangeKind::Headers, &none());
        let arguments = fields([("x-match", value)]);
        let fault = routes.bind(queue(1), "", &arguments).expect_err("a wrong x-match");
        assert_eq!(fault.text(), format!("PRECONDITION_FAILED - {expected}"));
        assert!(routes.is_empty());
        assert!(!routes.unbind(queue(1), "", &arguments), "unbinding it is no fault");
    }
}

fn matches_naively(arguments: &FieldTable, headers: &FieldTable) -> bool {
    let mode = match arguments.inner().get("x-match") {
        Some(AMQPValue::LongString(mode)) => mode.to_string(),
        _ => "all".to_owned(),
    };
    let mut wanted = arguments.into_iter().filter(|(name, _)| {
        name.as_str() != "x-match" && (mode.ends_with("-with-x") || !name.as_str().starts_with("x-"))
    });
    let met = |(name, value): (&ShortString, &AMQPValue)| match headers.inner().get(name) {
        None => false,
        Some(given) => match (value, given) {
            (AMQPValue::Void, _) => true,
            (AMQPValue::LongInt(a), AMQPValue::LongLongInt(b)) => i64::from(*a) == *b,
            (AMQPValue::LongLongInt(a), AMQPValue::LongInt(b)) => *a == i64::from(*b),
            (a, b) => a == b,
        },
    };
    if mode.starts_with("all") { wanted.all(met) } else { wanted.any(met) }
}

fn value() -> impl Strategy<Value = AMQPValue> {
    prop_oneof![
        3 => (0..3_i32).prop_map(AMQPValue::LongInt),
        1 => (0..3_i64).prop_map(AMQPValue::LongLongInt),
        2 => prop::sample::select(&["1", "2"][..]).prop_map(text),
        1 => Just(AMQPValue::Void),
        1 => any::<bool>().prop_map(AMQPValue::Boolean),
    ]
}

fn table() -> impl Strategy<Value = FieldTable> {
    let name = prop::sample::select(&["a", "b", "c", "x-a", "x-b"][..]);
    prop::collection::vec((name, value()), 0..4).prop_map(fields)
}

fn arguments() -> impl Strategy<Value = FieldTable> {
    (table(), prop::option::of(prop::sample::select(&MODES[..]))).prop_map(|(mut table, mode)| {
        if let Some(mode) = mode {
            table.insert("x-match".into(), text(mode));
        }
        table
    })
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_naive_matcher(
        bound in prop::collection::vec((0..4_u64, arguments()), 1..20),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        messages in prop::collection::vec(table(), 1..8),
    ) {
        let mut routes = ExchangeRoutes::new(ExchangeKind::Headers, &none());
        let mut kept: Vec<(u64, FieldTable)> = Vec::new();
        for (number, arguments) in bound {
            let new = !kept.contains(&(number, arguments.clone()));
            prop_assert_eq!(routes.bind(queue(number), "", &arguments), Ok(new));
            if new {
                kept.push((number, arguments));
            }
        }
        for index in removed {
            if !kept.is_empty() {
                let (number, arguments) = kept.swap_remove(index.index(kept.len()));
                prop_assert!(routes.unbind(queue(number), "", &arguments));
            }
        }
        for headers in &messages {
            let expected: BTreeSet<Destination> = kept
                .iter()
                .filter(|(_, arguments)| matches_naively(arguments, headers))
                .map(|(number, _)| queue(*number))
                .collect();
            prop_assert_eq!(reached(&routes, "", headers), expected, "headers {:?}, bound {:?}", headers, kept);
        }
    }
}
