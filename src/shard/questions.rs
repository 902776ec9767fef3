//! What a shard is asked about its queues. It answers at the end of a turn, so that limits, expiry and deliveries of the turn
//! are in what it says, looks at so many queues a turn, and goes on in the next one. Answers come in the order of the
//! questions; who asked is known to the server alone.

use std::collections::VecDeque;

use super::Shard;
use super::accounts::Accounts;
use super::queues::Queues;
use crate::catalog::view::View;
use crate::model::counters::Waits;
use crate::model::holdings::Holdings;
use crate::model::ids::QueueId;
use crate::model::question::{Answer, MOST_ASKED, Question, QueueCounts};

/// Queues that a turn looks at, over all questions: a fraction of a microsecond each.
const LOOKED_AT: usize = MOST_ASKED;

/// Those that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Questions {
    pending: VecDeque<Question>,
    /// What is known already of the queues of the first one.
    begun: Vec<Option<QueueCounts>>,
}

impl Questions {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Questions { pending, begun } = self;
        into.in_transit("shard: questions", pending);
        into.in_transit("shard: an answer that is begun", begun);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Answers what there is time for. A question about all that is there, or about one queue, has a turn to itself.
    fn answer(&mut self, known: Known<'_>, answers: &mut Vec<Answer>) {
        let Known { queues, newest, accounts, waits, view } = known;
        let mut left = LOOKED_AT;
        while let Some(question) = self.pending.front() {
            match question {
                Question::Counts { queues: asked } => {
                    let next = &asked[self.begun.len()..];
                    let now = &next[..next.len().min(left)];
                    left -= now.len();
                    self.begun.extend(now.iter().map(|&queue| counts(queues, newest, queue)));
                    if now.len() < next.len() {
                        return;
                    }
                    answers.push(Answer::Counts(std::mem::take(&mut self.begun)));
                }
                _ if left < LOOKED_AT => return,
                Question::Consumers { queue } => {
                    let consumers = queues.get(*queue).map(|slot| slot.queue.consumers(MOST_ASKED));
                    answers.push(Answer::Consumers(consumers));
                    left = 0;
                }
                Question::Totals { from } => {
                    let totals = accounts.tell(*from, MOST_ASKED, &view.read(), waits);
                    answers.push(Answer::Totals(totals));
                    left = 0;
                }
            }
            self.pending.pop_front();
        }
        // Nobody asks for most of the time.
        self.pending = VecDeque::new();
    }
}

/// What answers are made of.
struct Known<'a> {
    queues: &'a Queues,
    /// The newest queue that was ever created here.
    newest: QueueId,
    accounts: &'a mut Accounts,
    waits: &'a Waits,
    view: &'a View,
}

/// In a queue whose creation is still on its way here, nothing is yet.
fn counts(queues: &Queues, newest: QueueId, queue: QueueId) -> Option<QueueCounts> {
    match queues.get(queue) {
        Some(slot) => Some(slot.queue.counts()),
        None => (queue > newest).then(QueueCounts::default),
    }
}

impl Shard {
    /// Takes a question in. Its answer is among the [`ShardEffects::answers`] of this turn or of a later one.
    ///
    /// [`ShardEffects::answers`]: super::ShardEffects::answers
    pub fn ask(&mut self, question: Question) {
        self.questions.pending.push_back(question);
    }

    pub(super) fn answer_questions(&mut self, answers: &mut Vec<Answer>) {
        if !self.questions.is_empty() {
            let Shard { queues, newest, accounts, view, fx, .. } = self;
            let waits = &fx.waits;
            self.questions.answer(Known { queues, newest: *newest, accounts, waits, view }, answers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::{Origin, ShardCommand};
    use crate::model::ids::{ConnectionId, ConsumerNumber, ShardIndex, Timestamp};
    use crate::shard::ShardEffects;

    fn shard() -> Shard {
        Shard::new(ShardIndex::alone(0), 1, View::new(), 1 << 20)
    }

    fn about(queues: u64) -> Question {
        Question::Counts { queues: (1..=queues).map(QueueId).collect() }
    }

    /// One turn: to how many queues answers have come, one number for each answer, and what was said to connections.
    fn turn(shard: &mut Shard) -> (Vec<usize>, usize) {
        let mut fx = ShardEffects::default();
        shard.finish_turn(Timestamp(1), &mut fx);
        let answered = fx.answers.iter().map(|answer| match answer {
            Answer::Counts(counts) => counts.len(),
            other => panic!("{other:?}"),
        });
        (answered.collect(), fx.to_connections.len())
    }

    #[test]
    fn a_long_question_takes_several_turns_and_others_are_served_in_between() {
        let mut shard = shard();
        shard.ask(about(3000));
        for answered in [&[][..], &[], &[3000]] {
            let cancel = ShardCommand::Cancel { queue: QueueId(1), consumer: ConsumerNumber(1) };
            shard.handle(Timestamp(1), Origin::Connection(ConnectionId(1)), cancel);
            assert_eq!(turn(&mut shard), (answered.to_vec(), 1));
            assert_eq!(
                shard.next_deadline(),
                answered.is_empty().then_some(Timestamp(0)),
                "the next turn comes"
            );
        }
    }

    #[test]
    fn a_turn_looks_at_so_many_queues_over_all_questions() {
        let mut shard = shard();
        for queues in [1000, 24, 0, 1, 1024] {
            shard.ask(about(queues));
        }
        assert_eq!(turn(&mut shard).0, [1000, 24, 0]);
        assert_eq!(turn(&mut shard).0, [1]);
        assert_eq!(turn(&mut shard).0, [1024]);
        let mut holdings = Holdings::default();
        shard.questions.holdings(&mut holdings);
        assert!(holdings.iter().all(|holding| holding.capacity == 0), "{holdings:?}");
    }
}
