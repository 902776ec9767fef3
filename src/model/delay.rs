//! The headers by which a message asks to be kept: `x-delay`, for how long (semantics 5.29), and `x-deliver-at`, until when.
//! Exchanges of type x-delayed-message, the queues they keep messages in, and queues with scheduled delivery read them alike.
//! Who keeps what is theirs.

use bytes::BytesMut;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{self, AMQPValue};

use super::argument::integer;
use super::fault::Fault;
use super::ids::Timestamp;
use super::message::Message;

/// The header that asks for a delay.
const HEADER: &str = "x-delay";
/// The header that names a time: an AMQP timestamp, in seconds, or an integer, in milliseconds since 1970.
const DELIVER_AT: &str = "x-deliver-at";
/// No queue keeps a message for longer, in milliseconds: ten years.
const LONGEST: u64 = 315_360_000_000;

/// Until when a message asks a queue with scheduled delivery to keep it, by the wall clock, which says `now`. None where it asks
/// for nothing, for a time that is over, or in a way that is not understood.
#[must_use]
pub fn scheduled(properties: Properties<'_>, now: Timestamp) -> Option<Timestamp> {
    properties.raw_headers()?;
    let named = properties.header(DELIVER_AT).and_then(|value| match value {
        AMQPValue::Timestamp(seconds) => Some(seconds.saturating_mul(1_000)),
        other => integer(&other).map(|millis| u64::try_from(millis).unwrap_or(0)),
    });
    let until = named.map(Timestamp).or_else(|| {
        let millis = properties.header(HEADER).as_ref().and_then(integer)?;
        Some(now.plus_millis(u64::try_from(millis).unwrap_or(0)))
    })?;
    (until > now).then(|| until.min(now.plus_millis(LONGEST)))
}

/// Whether a message has the header that asks for a delay.
#[must_use]
pub fn has_delay(message: &Message) -> bool {
    message.properties().header(HEADER).is_some()
}

/// The message with its delay negated, as it is once that is over: so clients know it, and nobody delays it again.
#[must_use]
pub fn released(message: &Message) -> Message {
    let properties = message.properties_with_bcc();
    let millis = properties.header(HEADER).as_ref().and_then(integer).or(delay(properties).map(i64::from));
    let millis = millis.unwrap_or(0).max(0);
    let negated = i32::try_from(-millis).map_or(AMQPValue::LongLongInt(-millis), AMQPValue::LongInt);
    let headers = table::edit(properties.raw_headers().unwrap_or(&[0; 4]), &[(HEADER, Some(negated))]);
    let raw = properties.with(&[(Field::Headers, Some(headers))]);
    Message::new(
        &mut BytesMut::new(),
        message.exchange(),
        message.routing_key(),
        Properties::trusted(&raw),
        message.body().clone(),
        message.origin(),
    )
}

/// How many milliseconds a message is to be kept; None where it asks for nothing, for less, or for what nobody keeps.
#[must_use]
pub fn delay(properties: Properties<'_>) -> Option<u32> {
    asked(properties).ok().flatten()
}

/// How many milliseconds a message asks to be kept, as the plugin reads it: whole numbers of all types, and fractions cut
/// off, a text of digits. None where there is nothing to wait for: no header, one of another type, zero, or a negative
/// number, as it has once the delay is over.
///
/// 406 for more than 2^32 - 1, and for a text that is no number. The plugin does not delay the one, and closes the
/// connection by an error of its own for the other.
pub fn asked(properties: Properties<'_>) -> Result<Option<u32>, Fault> {
    if properties.raw_headers().is_none() {
        return Ok(None);
    }
    let Some(value) = properties.header(HEADER) else { return Ok(None) };
    let millis = match &value {
        AMQPValue::Float(value) => cut_off((*value).into()),
        AMQPValue::Double(value) => cut_off(*value),
        AMQPValue::DecimalValue(decimal) => {
            let scale = 10u64.checked_pow(decimal.scale.into());
            Some(scale.map_or(0, |scale| i64::from(decimal.value) / i64::try_from(scale).unwrap_or(i64::MAX)))
        }
        AMQPValue::LongString(text) => read(text.as_bytes()),
        AMQPValue::ShortString(text) => read(text.as_str().as_bytes()),
        other => match integer(other) {
            Some(millis) => Some(millis),
            None => return Ok(None),
        },
    };
    let Some(millis) = millis else {
        let text = format!(
            "header '{HEADER}' is no number of milliseconds, which an integer or a text of digits is"
        );
        return Err(Fault::precondition(text));
    };
    if millis <= 0 {
        return Ok(None);
    }
    let most = u32::MAX;
    match u32::try_from(millis) {
        Ok(millis) => Ok(Some(millis)),
        Err(_) => Err(Fault::precondition(format!(
            "header '{HEADER}' asks for more milliseconds than a message can be delayed, which is {most}"
        ))),
    }
}

/// A text of digits, with a sign or without; more than fits is as good as the most that does.
fn read(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let most = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(most))
}

/// The whole part, at its ends where there is none.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is beyond an i64 ends at the last one, which is too much"
)]
fn cut_off(value: f64) -> Option<i64> {
    (!value.is_nan()).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use leveret_codec::table::{DecimalValue, FieldTable, encode};

    use super::*;

    fn of(value: AMQPValue) -> Result<Option<u32>, Fault> {
        let mut headers = FieldTable::default();
        headers.insert(HEADER.into(), value);
        let raw = Properties::default().with(&[(Field::Headers, Some(encode(&headers)))]);
        let found = asked(Properties::trusted(&raw));
        assert_eq!(delay(Properties::trusted(&raw)), found.clone().ok().flatten());
        found
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn decimal(value: u32, scale: u8) -> AMQPValue {
        AMQPValue::DecimalValue(DecimalValue { scale, value })
    }

    #[test]
    fn a_schedule_is_a_time_or_a_delay_and_never_beyond_ten_years() {
        let now = Timestamp(1_800_000_000_000);
        let until = |headers: &[(&'static str, AMQPValue)]| {
            let mut table = FieldTable::default();
            for (name, value) in headers {
                table.insert((*name).into(), value.clone());
            }
            let raw = Properties::default().with(&[(Field::Headers, Some(encode(&table)))]);
            scheduled(Properties::trusted(&raw), now).map(|at| at.0 - now.0)
        };
        let in_seconds = |seconds: u64| (DELIVER_AT, AMQPValue::Timestamp(now.0 / 1_000 + seconds));
        let delay = |millis| (HEADER, AMQPValue::LongLongInt(millis));
        assert_eq!(until(&[delay(5_000)]), Some(5_000));
        assert_eq!(until(&[in_seconds(60)]), Some(60_000));
        assert_eq!(until(&[(DELIVER_AT, AMQPValue::LongLongInt(1_800_000_000_007))]), Some(7));
        assert_eq!(until(&[in_seconds(60), delay(5)]), Some(60_000), "the time goes before the delay");
        assert_eq!(until(&[delay(i64::MAX)]), Some(LONGEST));
        assert_eq!(until(&[(DELIVER_AT, AMQPValue::Timestamp(u64::MAX))]), Some(LONGEST));
        for none in [
            vec![],
            vec![delay(0)],
            vec![delay(-5)],
            vec![in_seconds(0)],
            vec![(DELIVER_AT, AMQPValue::LongLongInt(-1))],
            vec![(HEADER, text("5000"))],
            vec![(DELIVER_AT, text("tomorrow"))],
        ] {
            assert_eq!(until(&none), None, "{none:?}");
        }
    }

    #[test]
    fn a_delay_is_a_number_whatever_its_type() {
        for (value, millis) in [
            (AMQPValue::LongInt(5000), 5000),
            (AMQPValue::ShortShortInt(7), 7),
            (AMQPValue::ShortShortUInt(200), 200),
            (AMQPValue::ShortInt(300), 300),
            (AMQPValue::ShortUInt(60_000), 60_000),
            (AMQPValue::LongUInt(u32::MAX), u32::MAX),
            (AMQPValue::LongLongInt(u32::MAX.into()), u32::MAX),
            (AMQPValue::Float(1500.75), 1500),
            (AMQPValue::Double(4_294_967_295.5), u32::MAX),
            (decimal(150_075, 2), 1500),
            (decimal(300, 0), 300),
            (text("5000"), 5000),
            (text("+0007"), 7),
        ] {
            assert_eq!(of(value.clone()), Ok(Some(millis)), "{value:?}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_not_delayed() {
        for value in [
            AMQPValue::LongInt(0),
            AMQPValue::LongInt(-5000),
            AMQPValue::LongLongInt(i64::MIN),
            AMQPValue::Double(0.9),
            AMQPValue::Float(-3.0),
            AMQPValue::Double(f64::NEG_INFINITY),
            decimal(99, 2),
            decimal(u32::MAX, 255),
            text("-5000"),
            text("-99999999999999999999999"),
            AMQPValue::Boolean(true),
            AMQPValue::Timestamp(5000),
            AMQPValue::Void,
        ] {
            assert_eq!(of(value.clone()), Ok(None), "{value:?}");
        }
        assert_eq!(asked(Properties::default()), Ok(None));
    }

    #[test]
    fn what_nobody_can_keep_to_is_refused() {
        let too_long = "PRECONDITION_FAILED - header 'x-delay' asks for more milliseconds than a message can be delayed, \
                        which is 4294967295";
        for value in [
            AMQPValue::LongLongInt(i64::from(u32::MAX) + 1),
            AMQPValue::Double(4_294_967_296.0),
            AMQPValue::Double(f64::INFINITY),
            text("4294967296"),
            text("99999999999999999999999"),
        ] {
            assert_eq!(of(value.clone()).unwrap_err().text(), too_long, "{value:?}");
        }
        let no_number = "PRECONDITION_FAILED - header 'x-delay' is no number of milliseconds, which an integer or a text \
                         of digits is";
        for value in [text(""), text("-"), text(" 5"), text("5.5"), text("5s"), AMQPValue::Double(f64::NAN)] {
            assert_eq!(of(value.clone()).unwrap_err().text(), no_number, "{value:?}");
        }
    }
}
