//! Bugs, planted into the running broker: on their way from one owner to another, operations, commands and events are
//! dropped, doubled, changed or let through too early, as a defect of that module would have it. Each breaks one
//! promise, and the ledger has to find that one broken.

use std::collections::BTreeSet;
use std::sync::Arc;

use leveret::model::command::{CatalogCommand, Origin, ShardCommand};
use leveret::model::consuming::{Delivery, Settlement};
use leveret::model::event::SessionEvent;
use leveret::model::ids::{ConnectionId, ConsumerNumber, QueueId, ShardIndex, Timestamp};
use leveret::model::op::{Attempts, Op};
use leveret::model::request::Reply;
use leveret::model::settings::{QueueRole, QueueSettings};
use leveret::server::owners::{CatalogInput, Permit, ShardInput, StoreRequest};

use crate::post::Post;
use crate::random::Random;

/// What is wrong with the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store forgets a message now and then.
    LosesMessages,
    /// The store says that all is durable as soon as it is asked for.
    ConfirmsTooEarly,
    /// Now and then a publish is not confirmed.
    LosesConfirms,
    /// A message is delivered twice.
    DeliversTwice,
    /// A delivery overtakes the one before.
    Overtakes,
    /// The redelivered flag is forgotten.
    ForgetsRedelivery,
    /// How often a message came back is forgotten.
    ForgetsAttempts,
    /// Consumers get as much as there is.
    IgnoresPrefetch,
    /// Everybody is active where one should be.
    IgnoresSingleActive,
    /// An ack does not get to the queue.
    LosesAcks,
    /// The store keeps what was settled, or purged.
    KeepsSettled,
    /// What is acked becomes a dead letter.
    DeadLettersAcked,
    /// A dead letter is let go before its target has it.
    LosesDeadLetters,
    /// Dead letters go back to where they come from.
    MisleadsDeadLetters,
    /// A transaction is committed in parts.
    SplitsTransactions,
    /// A consumer timeout never ends.
    ForgetsConsumerTimeouts,
    /// The clock of the shards runs too fast.
    HurriesTime,
    /// What an exchange remembers is not stored.
    ForgetsHistory,
    /// Direct replies get lost.
    LosesReplies,
    /// Exclusive queues outlive their connection.
    KeepsExclusive,
    /// Queues that nobody uses stay.
    KeepsUnused,
    /// Priorities are ignored.
    IgnoresPriorities,
    /// A full queue takes more.
    IgnoresMaxLength,
    /// What a published batch weighs is never given back.
    KeepsPermits,
    /// A shard takes back what a connection held, but does not forget it.
    KeepsConnections,
    /// What a deleted exchange remembered stays.
    KeepsHistories,
    /// The source of a dead letter does not hear that it has arrived.
    KeepsDeadLetters,
    /// What was deleted stays in the store.
    KeepsDeleted,
    /// A shard does not tell another one that it has taken in what it was sent.
    KeepsCredit,
    /// A shard believes that what it sends another one is taken in at once.
    InventsCredit,
    /// A shard that is to hold back what is not durable delivers it.
    DeliversTooEarly,
    /// What comes back is ready again at once where it is to wait.
    IgnoresRetries,
}

/// Every fault, a seed in which it is known to have been found, and words one of which the ledger has to find for it.
pub(crate) const FAULTS: [(Fault, u64, &[&str]); 32] = [
    (Fault::LosesMessages, 1, &["is lost", "messages and delivered", "leaves"]),
    (Fault::ConfirmsTooEarly, 13, &["is lost"]),
    (Fault::LosesConfirms, 0, &["never confirmed"]),
    (Fault::DeliversTwice, 1, &["is delivered while channel"]),
    (Fault::Overtakes, 7, &["out of order", "of a higher priority"]),
    (Fault::ForgetsRedelivery, 0, &["not marked as redelivered"]),
    (Fault::ForgetsAttempts, 3, &["has count", "was taken"]),
    (Fault::IgnoresPrefetch, 0, &["with a prefetch of"]),
    (Fault::IgnoresSingleActive, 42, &["is the single active one"]),
    (Fault::LosesAcks, 4, &["is delivered after", "is delivered while channel", "messages and delivered"]),
    (Fault::KeepsSettled, 2, &["is delivered after", "leaves"]),
    (Fault::DeadLettersAcked, 0, &["claims Rejected, which cannot be", "leaves"]),
    (Fault::LosesDeadLetters, 5, &["is lost"]),
    (Fault::MisleadsDeadLetters, 0, &["is configured", "came by"]),
    (Fault::SplitsTransactions, 700, &["half of a transaction"]),
    (Fault::ForgetsConsumerTimeouts, 0, &["longer than its consumer timeout"]),
    (
        Fault::HurriesTime,
        1,
        &["before its delay is over", "claims Expired, which cannot be", "is delivered while channel"],
    ),
    (Fault::ForgetsHistory, 2, &["remembers"]),
    (Fault::LosesReplies, 142, &["never came"]),
    (Fault::KeepsExclusive, 0, &["though it has to be gone"]),
    (Fault::KeepsUnused, 3, &["though it has to be gone"]),
    (Fault::IgnoresPriorities, 0, &["of a higher priority"]),
    (Fault::IgnoresMaxLength, 7, &["with a limit of"]),
    (
        Fault::KeepsPermits,
        0,
        &["connection: bytes of permits still holds", "catalog: bytes of events on their way still holds"],
    ),
    (
        Fault::KeepsConnections,
        0,
        &[
            "outboxes: connections still holds",
            "outbox: bytes still holds",
            "holders: connections still holds",
        ],
    ),
    (Fault::KeepsHistories, 0, &["shard: histories still holds", "store: messages still holds"]),
    (
        Fault::KeepsDeadLetters,
        0,
        &["shard: dead letters under way still holds", "dead letters: sent still holds"],
    ),
    (Fault::KeepsDeleted, 1, &["store: messages still holds"]),
    (
        Fault::KeepsCredit,
        2,
        &[
            "credit: ",
            "connection: bytes of permits still holds",
            "queue effects: room that dead letters take still holds",
        ],
    ),
    (Fault::InventsCredit, 0, &["on their way to shard"]),
    (Fault::DeliversTooEarly, 0, &["though it is not durable"]),
    (Fault::IgnoresRetries, 32, &["before its wait is over", "could take what"]),
];

/// Who plants it.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    fault: Option<Fault>,
    random: Random,
    /// A delivery that is overtaken by the next one.
    held_back: Option<(ConnectionId, SessionEvent)>,
    /// What is never given back.
    permits: Vec<Permit>,
    /// Who may hold something of which queue.
    holders: BTreeSet<(ConnectionId, ShardIndex, QueueId, ConsumerNumber)>,
    /// What exchanges remember is filed under these.
    histories: BTreeSet<QueueId>,
}

impl FaultInjector {
    pub(crate) fn new(fault: Option<Fault>) -> FaultInjector {
        FaultInjector {
            fault,
            random: Random(7),
            held_back: None,
            permits: Vec::new(),
            holders: BTreeSet::new(),
            histories: BTreeSet::new(),
        }
    }

    /// What time it is for a shard.
    pub(crate) fn time(&self, now: Timestamp) -> Timestamp {
        let ahead = if self.fault == Some(Fault::HurriesTime) { now.0 / 2 } else { 0 };
        now.plus_millis(ahead)
    }

    /// What becomes of something on its way.
    pub(crate) fn inject(&mut self, post: Post) -> Vec<Post> {
        let Some(fault) = self.fault else { return vec![post] };
        match post {
            Post::Store(request) => self.tamper_with_store(fault, request),
            Post::Shard(shard, ShardInput::Commands { origin, commands, permit }) => {
                let (permit, kept) =
                    if fault == Fault::KeepsPermits { (None, permit) } else { (permit, None) };
                self.permits.extend(kept);
                self.note_holders(shard, origin, &commands);
                let mut posts = give_credit_early(fault, shard, &commands);
                let tampered =
                    commands.into_iter().map(|command| self.tamper_with_command(fault, shard, command));
                let (to, commands): (Vec<ShardIndex>, Vec<ShardCommand>) = tampered.flatten().unzip();
                let to = to.first().copied().unwrap_or(shard);
                posts.push(Post::Shard(to, ShardInput::Commands { origin, commands, permit }));
                posts
            }
            Post::Shard(shard, ShardInput::ConnectionGone(gone)) if fault == Fault::KeepsConnections => {
                let holders = self.holders.iter().filter(|holder| (holder.0, holder.1) == (gone, shard));
                let commands =
                    holders.map(|&(_, _, queue, consumer)| ShardCommand::Detach { queue, consumer });
                let (origin, commands) = (Origin::Connection(gone), commands.collect());
                vec![Post::Shard(shard, ShardInput::Commands { origin, commands, permit: None })]
            }
            Post::Connection(connection, event) => self.tamper_with_event(fault, connection, event),
            Post::Catalog(CatalogInput::Command(CatalogCommand::ConnectionClosed { connection, .. }))
                if fault == Fault::KeepsExclusive =>
            {
                vec![Post::Connection(connection, SessionEvent::Reply(Reply::Done))]
            }
            other => vec![other],
        }
    }

    fn note_holders(&mut self, shard: ShardIndex, origin: Origin, commands: &[ShardCommand]) {
        let Origin::Connection(connection) = origin else { return };
        for command in commands {
            if let ShardCommand::Consume { queue, consumer, .. } | ShardCommand::Get { queue, consumer, .. } =
                command
            {
                self.holders.insert((connection, shard, *queue, *consumer));
            }
        }
    }

    fn tamper_with_store(&mut self, fault: Fault, request: StoreRequest) -> Vec<Post> {
        let StoreRequest::Ops { shard, sequence, mut ops, must_sync, mut groups, permits } = request else {
            return vec![Post::Store(request)];
        };
        match fault {
            Fault::LosesMessages => {
                ops.retain(|op| !matches!(op, Op::Put { durable: true, .. }) || !self.random.percent(10));
            }
            Fault::KeepsDeleted => ops.retain(|op| !matches!(op, Op::DeleteQueue { .. })),
            Fault::KeepsSettled => ops.retain(|op| !matches!(op, Op::Remove { .. })),
            Fault::SplitsTransactions => groups.clear(),
            Fault::ForgetsHistory => {
                ops.retain(|op| !matches!(op, Op::Put { queue, .. } if self.histories.contains(queue)));
            }
            _ => {}
        }
        let mut posts =
            vec![Post::Store(StoreRequest::Ops { shard, sequence, ops, must_sync, groups, permits })];
        if fault == Fault::ConfirmsTooEarly {
            posts.push(Post::Shard(shard, ShardInput::Durable { sequence }));
        }
        posts
    }

    fn tamper_with_command(
        &mut self,
        fault: Fault,
        shard: ShardIndex,
        mut command: ShardCommand,
    ) -> Option<(ShardIndex, ShardCommand)> {
        match &mut command {
            ShardCommand::Consume { options, .. } if fault == Fault::IgnoresPrefetch => options.prefetch = 0,
            ShardCommand::CreateQueue { queue, settings, .. } => {
                if settings.role == QueueRole::Remembers {
                    self.histories.insert(*queue);
                }
                misconfigure(fault, Arc::make_mut(settings));
            }
            ShardCommand::DropQueue { queue, .. }
                if fault == Fault::KeepsHistories && self.histories.contains(queue) =>
            {
                return None;
            }
            ShardCommand::DeadLettered { .. } if fault == Fault::KeepsDeadLetters => return None,
            ShardCommand::Credit { .. } if fault == Fault::KeepsCredit => return None,
            ShardCommand::SetSettings { settings, .. } => misconfigure(fault, Arc::make_mut(settings)),
            // Its source hears that all is well.
            &mut ShardCommand::DeadLetter { queue: target, awaited: Some(awaited), .. }
                if fault == Fault::LosesDeadLetters =>
            {
                return Some((awaited.shard, ShardCommand::DeadLettered { awaited, target, taken: true }));
            }
            ShardCommand::Settle { settlement, .. } if *settlement == Settlement::Ack => match fault {
                Fault::DeadLettersAcked => *settlement = Settlement::Discard,
                Fault::LosesAcks if self.random.percent(10) => return None,
                _ => {}
            },
            _ => {}
        }
        Some((shard, command))
    }

    fn tamper_with_event(
        &mut self,
        fault: Fault,
        connection: ConnectionId,
        mut event: SessionEvent,
    ) -> Vec<Post> {
        match (fault, &mut event) {
            (Fault::LosesConfirms, SessionEvent::Confirm { .. }) if self.random.percent(5) => return vec![],
            (Fault::DeliversTwice, SessionEvent::Deliver(delivery)) if !delivery.no_ack => {
                let again = event.clone();
                return vec![Post::Connection(connection, again), Post::Connection(connection, event)];
            }
            (Fault::LosesReplies, SessionEvent::Deliver(delivery)) if is_reply(delivery) => {
                return vec![];
            }
            (Fault::ForgetsRedelivery, SessionEvent::Deliver(delivery)) => delivery.redelivered = false,
            (Fault::ForgetsAttempts, SessionEvent::Deliver(delivery)) => delivery.attempts = Attempts::NONE,
            (Fault::Overtakes, SessionEvent::Deliver(_)) => {
                let before = self.held_back.take();
                if before.is_none() && self.random.percent(20) {
                    self.held_back = Some((connection, event));
                    return vec![];
                }
                let mut posts = vec![Post::Connection(connection, event)];
                posts.extend(before.map(|(connection, event)| Post::Connection(connection, event)));
                return posts;
            }
            _ => {}
        }
        vec![Post::Connection(connection, event)]
    }
}

/// Credit for what is on its way to a shard, or gets lost there.
fn give_credit_early(fault: Fault, shard: ShardIndex, commands: &[ShardCommand]) -> Vec<Post> {
    let given = commands.iter().filter_map(|command| match command {
        ShardCommand::DeadLetter { message, awaited, from, .. } => {
            let is_lost = fault == Fault::LosesDeadLetters && awaited.is_some();
            (is_lost || fault == Fault::InventsCredit).then(|| (*from, message.footprint()))
        }
        _ => None,
    });
    let post = |(to, bytes)| {
        let commands = vec![ShardCommand::Credit { from: shard, messages: 1, bytes }];
        let origin = Origin::Shard(shard);
        Post::Shard(to, ShardInput::Commands { origin, commands, permit: None })
    };
    given.map(post).collect()
}

/// Has a queue disobey what it was declared with.
fn misconfigure(fault: Fault, settings: &mut QueueSettings) {
    match fault {
        Fault::IgnoresSingleActive => settings.single_active_consumer = false,
        Fault::ForgetsConsumerTimeouts => settings.consumer_timeout = None,
        Fault::IgnoresPriorities => settings.max_priority = settings.max_priority.map(|_| 0),
        Fault::IgnoresMaxLength => settings.max_length = None,
        Fault::IgnoresRetries => settings.retry = None,
        Fault::KeepsUnused => {
            settings.auto_delete = false;
            settings.expires = None;
        }
        Fault::MisleadsDeadLetters => {
            if let Some(dead_letters) = &mut settings.dead_letter {
                dead_letters.routing_key = Some("dead-2".into());
            }
        }
        _ => {}
    }
}

/// Whether it comes from no queue.
fn is_reply(delivery: &Delivery) -> bool {
    delivery.queue.queue == QueueId::default()
}
