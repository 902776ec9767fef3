//! The queues and exchanges of a seed: varied, and without circles of dead letters.

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::frames::table;
use crate::random::Random;

/// The fanout exchange of every seed.
pub(crate) const FANOUT: &str = "everyone";
/// The direct exchange dead letters may go by.
pub(crate) const DEAD: &str = "dead";

/// The delayed message exchange.
pub(crate) const LATER: &str = "later";
/// The recent history exchange, and how much it remembers.
pub(crate) const RECENT: &str = "recent";
pub(crate) const REMEMBERED: u8 = 4;

/// Which queue, by its place in [`Topology::queues`].
pub(crate) type QueueNumber = usize;

/// What a queue does when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    DropHead,
    Reject,
    RejectAndDeadLetter,
}

/// How long a queue is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Permanent,
    /// As long as the connection that declared it.
    Exclusive,
    /// Until its last consumer goes.
    AutoDelete,
    /// Until nobody has used it for so many milliseconds.
    Expires(u64),
}

/// Where dead letters go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetters {
    pub(crate) target: QueueNumber,
    /// By the direct exchange, not the default one.
    pub(crate) by_exchange: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuePlan {
    pub(crate) name: String,
    pub(crate) durable: bool,
    pub(crate) quorum: bool,
    pub(crate) ttl: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) full: Full,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) max_priority: Option<u8>,
    pub(crate) single_active: bool,
    pub(crate) delivery_limit: Option<u32>,
    /// For how long what comes back waits at the least and at the most, in milliseconds.
    pub(crate) retry: Option<(u64, u64)>,
    /// How long a consumer may hold a message, in milliseconds.
    pub(crate) consumer_timeout: Option<u64>,
    pub(crate) lifetime: Lifetime,
    /// Bound to the fanout exchange.
    pub(crate) in_fanout: bool,
    /// Clients publish here; otherwise only dead letters come.
    pub(crate) takes_publishes: bool,
}

impl QueuePlan {
    /// A durable classic queue without anything special.
    pub(crate) fn plain(name: &str) -> QueuePlan {
        QueuePlan {
            name: name.to_owned(),
            durable: true,
            quorum: false,
            ttl: None,
            max_length: None,
            full: Full::DropHead,
            dead_letters: None,
            max_priority: None,
            single_active: false,
            delivery_limit: None,
            retry: None,
            consumer_timeout: None,
            lifetime: Lifetime::Permanent,
            in_fanout: false,
            takes_publishes: true,
        }
    }

    pub(crate) fn is_permanent(&self) -> bool {
        self.lifetime == Lifetime::Permanent
    }

    /// Whether a message survives a crash here.
    pub(crate) fn keeps(&self, persistent: bool) -> bool {
        self.durable && (persistent || self.quorum)
    }

    /// Bound to the delayed message exchange. What that has confirmed nobody may refuse later.
    pub(crate) fn takes_delayed(&self) -> bool {
        self.is_permanent() && self.takes_publishes && self.full == Full::DropHead
    }

    /// Whether the broker counts failed deliveries and says how many there were.
    pub(crate) fn counts_deliveries(&self) -> bool {
        self.quorum || self.delivery_limit.is_some() || self.retry.is_some()
    }

    /// How often a message may fail before it is a dead letter.
    pub(crate) fn limit(&self) -> Option<u32> {
        self.delivery_limit.or(self.quorum.then_some(20))
    }

    /// Quorum queues have 32 priorities, and 4 for what has none.
    pub(crate) fn lane(&self, priority: Option<u8>) -> u8 {
        if self.quorum {
            return priority.unwrap_or(4).min(31);
        }
        self.max_priority.map_or(0, |max| priority.unwrap_or(0).min(max))
    }

    /// The arguments of its declare.
    pub(crate) fn arguments(&self, all: &[QueuePlan]) -> FieldTable {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let number = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
        let mut entries = Vec::new();
        if self.quorum {
            entries.push(("x-queue-type", text("quorum")));
        }
        // Longer than a consumer timeout can be is none. Quorum queues have one where nothing is said, which ends when
        // the clock of a quiet seed jumps ahead.
        let consumer_timeout = self.consumer_timeout.or(self.quorum.then_some(365 * 86_400_000));
        if self.quorum && self.full == Full::Reject && self.dead_letters.is_some() {
            entries.push(("x-dead-letter-strategy", text("at-least-once")));
        }
        entries.extend(
            consumer_timeout.map(|consumer_timeout| ("x-consumer-timeout", number(consumer_timeout))),
        );
        entries.extend(self.ttl.map(|ttl| ("x-message-ttl", number(ttl))));
        entries.extend(self.max_length.map(|max| ("x-max-length", number(max))));
        match self.full {
            Full::DropHead => {}
            Full::Reject => entries.push(("x-overflow", text("reject-publish"))),
            Full::RejectAndDeadLetter => entries.push(("x-overflow", text("reject-publish-dlx"))),
        }
        if let Some(DeadLetters { target, by_exchange }) = self.dead_letters {
            entries.push(("x-dead-letter-exchange", text(if by_exchange { DEAD } else { "" })));
            entries.push(("x-dead-letter-routing-key", text(&all[target].name)));
        }
        entries.extend(self.max_priority.map(|max| ("x-max-priority", number(max.into()))));
        if self.single_active {
            entries.push(("x-single-active-consumer", AMQPValue::Boolean(true)));
        }
        if let Lifetime::Expires(millis) = self.lifetime {
            entries.push(("x-expires", number(millis)));
        }
        if let Some((least, most)) = self.retry {
            entries.push(("x-delayed-retry-type", text("all")));
            entries.push(("x-delayed-retry-min", number(least)));
            entries.push(("x-delayed-retry-max", number(most)));
        }
        entries.extend(self.delivery_limit.map(|limit| ("x-delivery-limit", number(limit.into()))));
        table(entries)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) queues: Vec<QueuePlan>,
    /// Some consumers ask for no acks.
    pub(crate) without_acks: bool,
}

impl Topology {
    /// One to four queues that take publishes, one that takes their dead letters, and one that takes that one's.
    pub(crate) fn random(random: &mut Random) -> Topology {
        let working = 1 + random.below(4);
        let mut queues: Vec<QueuePlan> =
            (0..working).map(|number| working_queue(number, working, random)).collect();
        let mut dead = QueuePlan { takes_publishes: false, ..QueuePlan::plain("dead-1") };
        dead.quorum = random.percent(20);
        if random.percent(40) {
            dead.ttl = Some(random.between(1, 400));
            dead.dead_letters = Some(DeadLetters { target: working + 1, by_exchange: random.percent(50) });
        }
        queues.push(dead);
        queues.push(QueuePlan { takes_publishes: false, ..QueuePlan::plain("dead-2") });
        Topology { queues, without_acks: random.percent(25) }
    }

    /// The queues that are there from the start to the end.
    pub(crate) fn permanent(&self) -> Vec<QueueNumber> {
        (0..self.queues.len()).filter(|&number| self.queues[number].is_permanent()).collect()
    }

    /// The queues a publish to the fanout exchange reaches.
    pub(crate) fn fanout(&self) -> Vec<QueueNumber> {
        (0..self.queues.len()).filter(|&number| self.queues[number].in_fanout).collect()
    }

    pub(crate) fn publishable(&self) -> Vec<QueueNumber> {
        self.permanent().into_iter().filter(|&number| self.queues[number].takes_publishes).collect()
    }

    pub(crate) fn number(&self, name: &str) -> Option<QueueNumber> {
        self.queues.iter().position(|queue| queue.name == name)
    }
}

fn working_queue(number: usize, working: usize, random: &mut Random) -> QueuePlan {
    let mut plan = QueuePlan::plain(&format!("work-{number}"));
    plan.quorum = random.percent(25);
    plan.durable = plan.quorum || random.percent(85);
    if random.percent(25) {
        plan.ttl = Some(random.pick(&[0, 1, 20, 300]));
    }
    if random.percent(30) {
        plan.max_length = Some(random.between(1, 12));
        plan.full = random.pick(&[Full::DropHead, Full::DropHead, Full::Reject, Full::RejectAndDeadLetter]);
        if plan.quorum && plan.full == Full::RejectAndDeadLetter {
            plan.full = Full::Reject;
        }
    }
    if random.percent(60) {
        plan.dead_letters = Some(DeadLetters { target: working, by_exchange: random.percent(50) });
    }
    if !plan.quorum && random.percent(25) {
        plan.max_priority = Some(random.pick(&[1, 3, 10]));
    }
    // Quorum queues with a single active consumer refuse the gets by which clients look at their queues.
    plan.single_active = random.percent(20) && !plan.quorum;
    if random.percent(25) {
        plan.delivery_limit = Some(u32::try_from(random.between(0, 3)).unwrap_or(0));
    }
    plan.consumer_timeout = random.percent(20).then(|| random.pick(&[150, 3_000]));
    plan.in_fanout = random.percent(60);
    // Since when something that was held for too long waits, no client knows.
    let retries = random.percent(30) && plan.consumer_timeout.is_none();
    plan.retry = retries.then(|| (random.pick(&[1, 20, 150]), random.pick(&[150, 600])));
    plan
}
