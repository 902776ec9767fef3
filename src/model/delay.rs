//! The `x-delay` header: how long an exchange of type x-delayed-message keeps a message (semantics.md 5.29). Exchanges,
//! and the queues they keep messages in, read it alike. Who keeps what is theirs.

use leveret_codec::properties::Properties;

use super::argument::integer;

/// The header's name.
pub const HEADER: &str = "x-delay";

/// How many milliseconds a message asks to be kept; None where it does not, or asks for what nobody keeps: nothing,
/// less than nothing, or more than 2^32 - 1.
#[must_use]
pub fn delay(properties: Properties<'_>) -> Option<u32> {
    properties.raw_headers()?;
    let asked = integer(&properties.header(HEADER)?)?;
    u32::try_from(asked).ok().filter(|&millis| millis > 0)
}

#[cfg(test)]
mod tests {
    use leveret_codec::properties::Field;
    use leveret_codec::table::{AMQPValue, FieldTable, encode};

    use super::*;

    fn asked(value: AMQPValue) -> Option<u32> {
        let mut headers = FieldTable::default();
        headers.insert(HEADER.into(), value);
        let raw = Properties::default().with(&[(Field::Headers, Some(encode(&headers)))]);
        delay(Properties::trusted(&raw))
    }

    #[test]
    fn a_delay_is_a_positive_number_of_32_bits() {
        assert_eq!(asked(AMQPValue::LongInt(5000)), Some(5000));
        assert_eq!(asked(AMQPValue::ShortShortUInt(200)), Some(200));
        assert_eq!(asked(AMQPValue::LongLongInt(u32::MAX.into())), Some(u32::MAX));
        for none in [
            AMQPValue::LongLongInt(i64::from(u32::MAX) + 1),
            AMQPValue::LongInt(0),
            AMQPValue::LongInt(-5000),
            AMQPValue::LongString("5000".into()),
        ] {
            assert_eq!(asked(none.clone()), None, "{none:?}");
        }
        assert_eq!(delay(Properties::default()), None);
    }
}
