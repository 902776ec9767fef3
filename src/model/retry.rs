//! For how long a message that comes back to its queue waits before it is ready again: RabbitMQ's delayed retries
//! (semantics 11.10), and lists of delays of our own. Decides by counts alone; who waits is the queue's.

use std::sync::Arc;

use super::ids::Position;
use super::op::Attempts;

/// Which returns wait: what was rejected or lost with its channel has failed, what was nacked or recovered is returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retried {
    #[default]
    None,
    All,
    Failed,
    Returned,
}

impl Retried {
    /// By the word of an argument or a policy; what is no such word retries nothing, as in RabbitMQ.
    #[must_use]
    pub fn parse(word: &str) -> Retried {
        match word {
            "all" => Retried::All,
            "failed" => Retried::Failed,
            "returned" => Retried::Returned,
            _ => Retried::None,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Retried::None => "disabled",
            Retried::All => "all",
            Retried::Failed => "failed",
            Retried::Returned => "returned",
        }
    }

    fn includes(self, failed: bool) -> bool {
        match self {
            Retried::None => false,
            Retried::All => true,
            Retried::Failed => failed,
            Retried::Returned => !failed,
        }
    }
}

/// Delays in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delays {
    /// The least delay times the number of failures so far, up to the most, whatever came back how: RabbitMQ's.
    Growing { least: u64, most: u64 },
    /// One for each return, the last one again. Not empty.
    List(Arc<[u64]>),
}

/// Delayed retries of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub retried: Retried,
    pub delays: Delays,
    /// By how many percent of it a delay may be longer or shorter, 0 to [`MOST_JITTER`].
    pub jitter: u8,
    /// What is rejected without requeue is retried, too, and leaves after the last of the delays.
    pub rejected: bool,
}

/// The most percent of jitter.
pub const MOST_JITTER: u8 = 50;
/// The most delays of a list, and the longest one, in milliseconds: 30 days.
const MOST_DELAYS: usize = 32;
const LONGEST: u64 = 30 * 86_400_000;
/// The longest wait of RabbitMQ's growing delays, which are not checked at a declare, in milliseconds: ten years, as of other
/// times.
const LONGEST_GROWN: u64 = 315_360_000_000;
/// What `rocketmq` stands for: the levels of that broker.
const ROCKETMQ: &str = "10s,30s,1m,2m,3m,4m,5m,6m,7m,8m,9m,10m,20m,30m,1h,2h";

impl Retry {
    /// Whether a return counts towards the delivery limit and the next delay. RabbitMQ counts failures alone; where there is a
    /// list, what waits is what counts.
    #[must_use]
    pub fn counts(&self, failed: bool) -> bool {
        match self.delays {
            Delays::Growing { .. } => failed,
            Delays::List(_) => self.retried.includes(failed),
        }
    }

    /// For how long a message waits that came back, in milliseconds; `attempts` has this return. None: it does not wait.
    #[must_use]
    pub fn delay(&self, position: Position, failed: bool, attempts: Attempts) -> Option<u64> {
        if !self.retried.includes(failed) {
            return None;
        }
        let delay = match &self.delays {
            Delays::Growing { least, most } => {
                let failures = u64::from(attempts.failed.max(1));
                least.saturating_mul(failures).min(*most).min(LONGEST_GROWN)
            }
            Delays::List(delays) => {
                let at = (attempts.failed.max(1) as usize - 1).min(delays.len() - 1);
                delays[at]
            }
        };
        Some(self.spread(delay, position, attempts.acquired))
    }

    /// Whether what is rejected without requeue is retried.
    #[must_use]
    pub fn retries_rejected(&self) -> bool {
        self.rejected && self.retried.includes(true)
    }

    /// A delay with its jitter, which is the same for the same return, so that it is no secret of one process.
    fn spread(&self, delay: u64, position: Position, acquired: u32) -> u64 {
        if self.jitter == 0 {
            return delay;
        }
        let mut hash = (position.0 ^ (u64::from(acquired) << 48)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        let most = delay / 100 * u64::from(self.jitter) + delay % 100 * u64::from(self.jitter) / 100;
        delay - most + hash % (2 * most + 1)
    }
}

/// Delays as an argument says them: `1s,30s,5m,1h`, `exponential:FIRST:FACTOR:LONGEST`, or `rocketmq`. None where it is
/// none of these. With them comes how many returns they are for; None: for any number.
#[must_use]
pub fn parse_delays(text: &str) -> Option<(Arc<[u64]>, Option<u32>)> {
    if let Some(growth) = text.strip_prefix("exponential:") {
        return exponential(growth).map(|delays| (delays, None));
    }
    let list = if text == "rocketmq" { ROCKETMQ } else { text };
    let delays: Option<Vec<u64>> = list.split(',').map(|delay| parse_delay(delay.trim())).collect();
    let delays = delays.filter(|delays| (1..=MOST_DELAYS).contains(&delays.len()))?;
    let count = u32::try_from(delays.len()).ok();
    Some((delays.into(), count))
}

fn exponential(growth: &str) -> Option<Arc<[u64]>> {
    let mut parts = growth.split(':');
    let (first, factor, longest) = (parts.next()?, parts.next()?, parts.next()?);
    let (first, longest) = (parse_delay(first)?, parse_delay(longest)?);
    // A factor has thousandths, so that delays are the same everywhere.
    let factor = thousandths(factor).filter(|factor| (1_000..=1_000_000).contains(factor))?;
    if parts.next().is_some() || first == 0 || longest < first {
        return None;
    }
    let grown = std::iter::successors(Some(first), |&delay| {
        let next = (delay.saturating_mul(factor) / 1_000).min(longest);
        (next > delay).then_some(next)
    });
    Some(grown.take(MOST_DELAYS).collect())
}

fn thousandths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_short = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let fraction: u64 = format!("{fraction:0<3}").parse().ok().filter(|_| is_short)?;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(fraction)
}

/// A delay of `ms`, `s`, `m`, `h` or `d`, in milliseconds.
fn parse_delay(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|&delay| delay <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(text: &str) -> Option<Vec<u64>> {
        parse_delays(text).map(|(delays, _)| delays.to_vec())
    }

    fn failures(failed: u32) -> Attempts {
        Attempts { acquired: failed, failed }
    }

    #[test]
    fn delays_are_lists_growth_or_a_preset() {
        assert_eq!(delays("250ms, 1s,5m,1h,30d"), Some(vec![250, 1_000, 300_000, 3_600_000, LONGEST]));
        assert_eq!(parse_delays("1s,2s").and_then(|(_, count)| count), Some(2));
        assert_eq!(delays("exponential:1s:2:10s"), Some(vec![1_000, 2_000, 4_000, 8_000, 10_000]));
        assert_eq!(delays("exponential:10ms:1.5:30ms"), Some(vec![10, 15, 22, 30]));
        assert_eq!(parse_delays("exponential:1s:2:10s").and_then(|(_, count)| count), None);
        let rocketmq = delays("rocketmq").unwrap();
        assert_eq!((rocketmq.len(), rocketmq[0], rocketmq[15]), (16, 10_000, 7_200_000));
    }

    #[test]
    fn what_is_no_list_of_delays_is_none() {
        let wrong = [
            "",
            "1",
            "s",
            "1s,",
            "1s,,2s",
            "-1s",
            "31d",
            "1w",
            "1.5s",
            "99999999999999999999s",
            "rocketmq,1s",
            "exponential:1s:2",
            "exponential:1s:0.5:2s",
            "exponential:2s:2:1s",
            "exponential:0s:2:1s",
            "exponential:1s:2:3s:4s",
            "exponential:1s:1.0001:3s",
            "exponential:1s:x:3s",
            "exponential:1s:2.:x",
        ];
        for text in wrong {
            assert_eq!(delays(text), None, "{text}");
        }
        assert_eq!(delays(&vec!["1s"; 32].join(",")).map(|list| list.len()), Some(32));
        assert_eq!(delays(&vec!["1s"; 33].join(",")), None);
    }

    #[test]
    fn a_growing_delay_is_of_failures_and_a_list_of_what_waits() {
        let growing = Delays::Growing { least: 300, most: 800 };
        let retry =
            |retried, delays: &Delays| Retry { retried, delays: delays.clone(), jitter: 0, rejected: false };
        let all = retry(Retried::All, &growing);
        let waits = |retry: &Retry, failed, count| retry.delay(Position(1), failed, failures(count));
        assert_eq!(
            [1, 2, 3, 9].map(|count| waits(&all, true, count)),
            [Some(300), Some(600), Some(800), Some(800)]
        );
        assert_eq!(
            [0, 1, 2, 9].map(|count| waits(&all, false, count)),
            [Some(300), Some(300), Some(600), Some(800)]
        );
        let huge = retry(Retried::All, &Delays::Growing { least: u64::MAX, most: u64::MAX });
        assert_eq!(waits(&huge, true, 3), Some(LONGEST_GROWN));
        assert_eq!(waits(&retry(Retried::Failed, &growing), false, 1), None);
        assert_eq!(waits(&retry(Retried::Returned, &growing), true, 1), None);
        assert_eq!((all.counts(true), all.counts(false)), (true, false));
        let list = retry(Retried::All, &Delays::List([5, 70].into()));
        assert_eq!(
            [0, 1, 2, 3].map(|count| waits(&list, false, count)),
            [Some(5), Some(5), Some(70), Some(70)]
        );
        assert!(list.counts(false));
    }

    #[test]
    fn jitter_stays_within_its_percent_and_is_spread() {
        let retry = Retry {
            retried: Retried::All,
            delays: Delays::List([10_000].into()),
            jitter: 20,
            rejected: false,
        };
        let delays: Vec<_> =
            (0..1000).filter_map(|position| retry.delay(Position(position), true, failures(1))).collect();
        assert!(delays.iter().all(|delay| (8_000..=12_000).contains(delay)));
        let (low, high) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*low < 8_200 && *high > 11_800, "{low} {high}");
        assert_eq!(retry.delay(Position(7), true, failures(1)), Some(delays[7]));
    }
}
