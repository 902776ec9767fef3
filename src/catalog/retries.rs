//! Delayed retries of a queue, as its arguments and policies say them (semantics 11.10): RabbitMQ's, and lists of delays of our
//! own, which hold where both are said. What they lead to is `model/retry.rs`'s.

use std::sync::Arc;

use leveret_codec::table::{AMQPValue, FieldTable};

use super::arguments::string;
use crate::model::argument::integer;
use crate::model::retry::{self, Delays, MOST_JITTER, Retried, Retry};

/// What a value that is no list of delays should be.
pub(crate) const EXPECTED_DELAYS: &str = "expected delays such as 1s,30s,5m";

/// The retries of a queue with these arguments under this definition of policies, and how many returns the delays are for
/// where they are a list. Of two times of RabbitMQ's the shorter holds; of everything else that of the policy, which is the
/// later word.
pub(crate) fn retries(arguments: &FieldTable, policy: &FieldTable) -> Option<(Arc<Retry>, Option<u32>)> {
    let said = Said { arguments, policy };
    let retried = said.text("delayed-retry-type").map(|word| Retried::parse(&word));
    let listed = said.text("retry-delays").and_then(|text| retry::parse_delays(&text));
    let (retried, delays, count) = match listed {
        Some((delays, count)) => (retried.unwrap_or(Retried::All), Delays::List(delays), count),
        None => {
            let least = said.least("delayed-retry-min").filter(|&least| least > 0)?;
            let most = said.least("delayed-retry-max").unwrap_or(least);
            (retried.unwrap_or_default(), Delays::Growing { least, most }, None)
        }
    };
    if retried == Retried::None {
        return None;
    }
    let jitter = said.value("retry-jitter").and_then(integer).and_then(|percent| u8::try_from(percent).ok());
    let jitter = jitter.unwrap_or(0).min(MOST_JITTER);
    let rejected = matches!(said.value("retry-rejected"), Some(AMQPValue::Boolean(true)));
    Some((Retry { retried, delays, jitter, rejected }.into(), count))
}

/// Whether a definition of policies says something of this.
pub(crate) fn are_in(policy: &FieldTable) -> bool {
    policy
        .inner()
        .keys()
        .any(|key| key.as_str().starts_with("delayed-retry-") || key.as_str().starts_with("retry-"))
}

/// Whether a text is a list of delays, or stands for one.
pub(crate) fn is_delays(text: &str) -> bool {
    retry::parse_delays(text).is_some()
}

struct Said<'a> {
    arguments: &'a FieldTable,
    policy: &'a FieldTable,
}

impl Said<'_> {
    fn argument(&self, key: &str) -> Option<&AMQPValue> {
        self.arguments.inner().get(format!("x-{key}").as_str())
    }

    fn value(&self, key: &str) -> Option<&AMQPValue> {
        self.policy.inner().get(key).or_else(|| self.argument(key))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key).and_then(string)
    }

    fn least(&self, key: &str) -> Option<u64> {
        let values = [self.policy.inner().get(key), self.argument(key)];
        values.into_iter().flatten().filter_map(integer).filter_map(|number| u64::try_from(number).ok()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::arguments as table;

    fn number(number: i32) -> AMQPValue {
        AMQPValue::LongInt(number)
    }

    fn word(word: &str) -> AMQPValue {
        AMQPValue::LongString(word.into())
    }

    fn of(
        arguments: &[(&'static str, AMQPValue)],
        policy: &[(&'static str, AMQPValue)],
    ) -> Option<(Retried, Delays)> {
        retries(&table(arguments), &table(policy)).map(|(retry, _)| (retry.retried, retry.delays.clone()))
    }

    fn growing(least: u64, most: u64) -> Option<(Retried, Delays)> {
        Some((Retried::All, Delays::Growing { least, most }))
    }

    /// Each line was seen on RabbitMQ 4.3.6.
    #[test]
    fn rabbitmqs_retries_are_of_a_type_and_of_the_shorter_times() {
        let (kind, least, most) = ("x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max");
        let all = || (kind, word("all"));
        assert_eq!(of(&[all(), (least, number(300)), (most, number(800))], &[]), growing(300, 800));
        assert_eq!(of(&[all(), (least, number(300))], &[]), growing(300, 300));
        for none in [
            vec![all(), (most, number(300))],
            vec![all(), (least, number(0)), (most, number(300))],
            vec![all(), (least, word("300"))],
            vec![(least, number(300))],
            vec![(kind, word("bogus")), (least, number(300))],
            vec![(kind, word("disabled")), (least, number(300))],
        ] {
            assert_eq!(of(&none, &[]), None, "{none:?}");
        }
        let declared = [all(), (least, number(900)), (most, number(900))];
        let shorter = [("delayed-retry-min", number(300)), ("delayed-retry-max", number(400))];
        assert_eq!(of(&declared, &shorter), growing(300, 400));
        assert_eq!(of(&declared, &[("delayed-retry-min", number(1000))]), growing(900, 900));
        assert_eq!(of(&declared, &[("delayed-retry-type", word("disabled"))]), None);
        let disabled = [(kind, word("disabled")), (least, number(900)), (most, number(900))];
        let policy = [("delayed-retry-type", word("all")), ("delayed-retry-min", number(300))];
        assert_eq!(of(&disabled, &policy), growing(300, 900));
    }

    #[test]
    fn a_list_of_delays_goes_before_and_the_policys_before_the_arguments() {
        let list = |delays: &[u64]| Some((Retried::All, Delays::List(delays.into())));
        let both = [("x-retry-delays", word("1s,2s")), ("x-delayed-retry-min", number(9))];
        assert_eq!(of(&both, &[]), list(&[1_000, 2_000]));
        assert_eq!(of(&both, &[("retry-delays", word("3s"))]), list(&[3_000]));
        let failed = [("x-retry-delays", word("1s")), ("x-delayed-retry-type", word("failed"))];
        assert_eq!(of(&failed, &[]), Some((Retried::Failed, Delays::List([1_000].into()))));
        let more = [
            ("x-retry-delays", word("1s,2s")),
            ("x-retry-jitter", number(20)),
            ("x-retry-rejected", AMQPValue::Boolean(true)),
        ];
        let (retry, count) = retries(&table(&more), &table(&[])).unwrap();
        assert_eq!((retry.jitter, retry.rejected, count), (20, true, Some(2)));
        assert!(
            are_in(&table(&[("retry-delays", word("3s"))])) && !are_in(&table(&[("max-length", number(3))]))
        );
    }
}
