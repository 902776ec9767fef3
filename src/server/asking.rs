//! What an administrator asks owners about their counts: shards, connections, the store's thread. Few questions are under way at
//! a moment, and each is answered at the end of a turn.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::administrator::Administrator;
use super::connections::ConnectionAsker;
use super::owners::{Asker, ShardInput, StoreRequest};
use crate::model::administration::AdministrationError;
use crate::model::counters::{StoreCounts, Waits};
use crate::model::ids::{ConnectionId, QueueRef, ShardIndex};
use crate::model::question::{
    Answer, ConnectionAnswer, ConnectionQuestion, MOST_ASKED, Question, QueueConsumers, QueueTotals,
};

impl Administrator {
    /// Who consumes from a queue; None where it is gone.
    pub async fn consumers(&self, queue: QueueRef) -> Result<Option<QueueConsumers>, AdministrationError> {
        match self.ask_shard(queue.shard, Question::Consumers { queue: queue.queue }).await? {
            Answer::Consumers(consumers) => Ok(consumers),
            Answer::Counts(_) | Answer::Totals(_) => Err(AdministrationError::Stopping),
        }
    }

    /// What all queues together have counted, by vhost and kind, those included that are gone. A kind may be told of more than
    /// once, by several shards. And how long messages have waited, shard by shard.
    pub async fn queue_totals(&self) -> Result<(Vec<QueueTotals>, Vec<Waits>), AdministrationError> {
        let (mut totals, mut waits) = (Vec::new(), Vec::new());
        for shard in self.mailboxes().shard_indices() {
            let mut from = Some(0);
            while let Some(at) = from {
                let answer = self.ask_shard(shard, Question::Totals { from: at }).await?;
                let Answer::Totals(told) = answer else { return Err(AdministrationError::Stopping) };
                totals.extend(told.totals);
                from = told.next;
                if from.is_none() {
                    waits.push(told.waits);
                }
            }
        }
        Ok((totals, waits))
    }

    async fn ask_shard(&self, shard: ShardIndex, question: Question) -> Result<Answer, AdministrationError> {
        let asking = async {
            let place = self.place().await?;
            let (answer, answered) = oneshot::channel();
            let asker = Asker { answer, place: Some(place) };
            self.mailboxes().shard(shard).post(ShardInput::Ask { question, asker });
            answered.await.map_err(|_| AdministrationError::Stopping)
        };
        tokio::select! {
            answer = asking => answer,
            () = self.stop().cancelled() => Err(AdministrationError::Stopping),
        }
    }

    /// A place among the questions that are under way.
    pub(super) async fn place(&self) -> Result<Arc<OwnedSemaphorePermit>, AdministrationError> {
        let questions = Arc::clone(self.questions());
        questions.acquire_owned().await.map(Arc::new).map_err(|_| AdministrationError::Stopping)
    }

    /// Asks each of these connections something of its own; None of one that is gone or about to go. They answer at the end of
    /// a turn, not all at the same moment; no more than [`MOST_ASKED`] are asked at a time.
    pub async fn ask_connections(
        &self,
        asked: Vec<(ConnectionId, ConnectionQuestion)>,
    ) -> Result<Vec<Option<ConnectionAnswer>>, AdministrationError> {
        let mut answers = Vec::with_capacity(asked.len());
        let mut asked = asked.into_iter().peekable();
        while asked.peek().is_some() {
            let together: Vec<_> = asked.by_ref().take(MOST_ASKED).collect();
            tokio::select! {
                answered = self.ask_some(together) => answers.extend(answered?),
                () = self.stop().cancelled() => return Err(AdministrationError::Stopping),
            }
        }
        Ok(answers)
    }

    async fn ask_some(
        &self,
        asked: Vec<(ConnectionId, ConnectionQuestion)>,
    ) -> Result<Vec<Option<ConnectionAnswer>>, AdministrationError> {
        let place = self.place().await?;
        let mut waiting = Vec::with_capacity(asked.len());
        for (connection, question) in asked {
            let (answer, answered) = oneshot::channel();
            let asker = ConnectionAsker { answer, place: Arc::clone(&place) };
            self.mailboxes().connections().with(connection, |inbox| inbox.ask(question, asker));
            waiting.push(answered);
        }
        drop(place);
        let mut answers = Vec::with_capacity(waiting.len());
        for answered in waiting {
            answers.push(answered.await.ok().flatten());
        }
        Ok(answers)
    }

    /// What the store's thread has counted.
    pub async fn store_counts(&self) -> Result<StoreCounts, AdministrationError> {
        let (answer, answered) = oneshot::channel();
        self.mailboxes().store().post(StoreRequest::Ask(answer));
        answered.await.map_err(|_| AdministrationError::Stopping)
    }
}
