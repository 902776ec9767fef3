//! What owners count: plain integers, each of one owner, that only ever grow. Whoever wants to know asks (`question.rs`); when
//! an owner goes, what it counted is added to what stays. The words are those of RabbitMQ's `message_stats`.

use std::ops::{AddAssign, Index};

/// So many counters, told apart by a list of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters<const N: usize>([u64; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters([0; N])
    }
}

impl<const N: usize> AddAssign<&Counters<N>> for Counters<N> {
    fn add_assign(&mut self, other: &Counters<N>) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum += count);
    }
}

impl<const N: usize> Counters<N> {
    pub const ZERO: Counters<N> = Counters([0; N]);

    #[must_use]
    pub fn of(values: [u64; N]) -> Counters<N> {
        Counters(values)
    }

    /// The same of smaller numbers.
    #[must_use]
    #[inline]
    pub fn from_fresh(values: [u32; N]) -> Counters<N> {
        Counters(values.map(u64::from))
    }

    /// All of them, in order.
    pub fn values(&self) -> impl Iterator<Item = u64> {
        self.0.into_iter()
    }

    #[inline]
    fn add_at(&mut self, at: usize, count: u64) {
        self.0[at] += count;
    }
}

/// What a queue counts of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueCount {
    /// Taken in.
    Published,
    /// Delivered to consumers that ack, and to others.
    Deliver,
    DeliverNoAck,
    /// The same of `basic.get`, and the gets that found nothing.
    Get,
    GetNoAck,
    GetEmpty,
    /// Acked, not rejected.
    Acked,
    /// Of the delivered and got: those that were delivered before.
    Redelivered,
    /// Put back to its place after a delivery.
    Requeued,
    /// Left for this reason, as a dead letter where the queue has a target for these.
    Expired,
    MaxLength,
    Rejected,
    DeliveryLimit,
    /// Dead letters that the queue kept until every target had them.
    DeadLetterConfirmed,
    /// Came back and had to wait.
    Retried,
}

/// How many there are.
pub const QUEUE_COUNTS: usize = QueueCount::Retried as usize + 1;

pub type QueueCounters = Counters<QUEUE_COUNTS>;

impl Index<QueueCount> for QueueCounters {
    type Output = u64;

    fn index(&self, count: QueueCount) -> &u64 {
        &self.0[count as usize]
    }
}

/// What a channel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelCount {
    /// Messages that came, and those of them that came in confirm mode.
    Publish,
    PublishConfirm,
    /// Confirmed, as accepted.
    Confirm,
    /// Of the unroutable: returned because mandatory, and the others.
    ReturnUnroutable,
    DropUnroutable,
    /// Queues that messages were routed to, direct replies included.
    Routed,
    /// As of a queue ([`QueueCount`]).
    Deliver,
    DeliverNoAck,
    Get,
    GetNoAck,
    GetEmpty,
    Acked,
    Redelivered,
    /// Declarations of queues that were asked for, of those that exist, too.
    DeclareQueue,
}

const CHANNEL_COUNTS: usize = ChannelCount::DeclareQueue as usize + 1;

pub type ChannelCounters = Counters<CHANNEL_COUNTS>;

impl Index<ChannelCount> for ChannelCounters {
    type Output = u64;

    fn index(&self, count: ChannelCount) -> &u64 {
        &self.0[count as usize]
    }
}

impl ChannelCounters {
    #[inline]
    pub fn add(&mut self, count: ChannelCount, by: u64) {
        self.add_at(count as usize, by);
    }
}

/// What a channel published to an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeCount {
    pub published: u64,
    /// Queues that these were routed to.
    pub routed: u64,
}

impl AddAssign<&ExchangeCount> for ExchangeCount {
    fn add_assign(&mut self, other: &ExchangeCount) {
        self.published += other.published;
        self.routed += other.routed;
    }
}

/// What a consumer got of its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerCount {
    pub delivered: u64,
    pub redelivered: u64,
    pub acked: u64,
}

/// What went over a connection's socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// How often something was read and written.
    pub reads: u64,
    pub writes: u64,
}

impl AddAssign<&Traffic> for Traffic {
    fn add_assign(&mut self, other: &Traffic) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.reads += other.reads;
        self.writes += other.writes;
    }
}

/// How many values fell into each class, and their sum. `CLASSES`: one more than there are bounds, for those beyond the
/// last; which bounds these are, whoever counts knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram<const CLASSES: usize> {
    /// How many are no larger than the bound, and than no smaller one.
    pub counts: [u64; CLASSES],
    pub sum: u64,
}

impl<const CLASSES: usize> Default for Histogram<CLASSES> {
    fn default() -> Self {
        Histogram { counts: [0; CLASSES], sum: 0 }
    }
}

impl<const CLASSES: usize> Histogram<CLASSES> {
    /// Counts a value. `bounds`: one fewer than there are classes, rising.
    #[inline]
    pub fn add(&mut self, bounds: &[u64], value: u64) {
        self.sum += value;
        let class = bounds.iter().position(|&bound| value <= bound).unwrap_or(bounds.len());
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl<const CLASSES: usize> AddAssign<&Histogram<CLASSES>> for Histogram<CLASSES> {
    fn add_assign(&mut self, other: &Histogram<CLASSES>) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }
}

/// The bounds of [`DiskTimes`], in microseconds.
pub const DISK_BOUNDS: [u64; 11] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// How long something took that writes to the disk, in microseconds.
pub type DiskTimes = Histogram<{ DISK_BOUNDS.len() + 1 }>;

/// What the store's thread has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Commits, each of which is one write to the log and one fsync; the bytes of what was committed, about.
    pub commits: u64,
    pub bytes: u64,
    /// Reads of messages that were not in memory, and how many messages these brought.
    pub fetches: u64,
    pub fetched: u64,
    /// Turns that committed, all that they did included; and of these the fsyncs of the log.
    pub commit_times: DiskTimes,
    pub fsync_times: DiskTimes,
    /// Bytes of the log that hold records, those included that the journal has too.
    pub log_bytes: u64,
}

/// The bounds of [`Waits`], in milliseconds.
pub const WAIT_BOUNDS: [u64; 15] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 600_000];

/// How long messages waited in queues for their first delivery, in milliseconds.
pub type Waits = Histogram<{ WAIT_BOUNDS.len() + 1 }>;

/// The bounds of [`Sizes`], in bytes.
pub const SIZE_BOUNDS: [u64; 8] =
    [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000];

/// The bodies of published messages by their size.
pub type Sizes = Histogram<{ SIZE_BOUNDS.len() + 1 }>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_belongs_to_the_first_bound_that_is_not_below_it() {
        let mut sizes = Sizes::default();
        for bytes in [0, 100, 101, 1_000_000, 100_000_001] {
            sizes.add(&SIZE_BOUNDS, bytes);
        }
        assert_eq!(sizes.counts, [2, 1, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!((sizes.sum, sizes.count()), (101_000_000 + 202, 5));
    }
}
