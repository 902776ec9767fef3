//! The handle by which code outside of the broker's tasks administers it: an HTTP interface, a test, an embedding
//! program. It asks the catalog's task and waits until what was changed is durable; what is declared it reads in the view, and
//! what is in queues it asks their shards.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::client_listeners::ClientListeners;
use super::current_limits::CurrentLimits;
use super::facts::Facts;
use super::in_flight::WorkBegun;
use super::local_client::{LocalClient, LocalError};
use super::mailboxes::Mailboxes;
use super::owners::{Asker, CatalogInput, ShardInput};
use super::process_log::ProcessLog;
use super::random::random_seed;
use super::resource_monitor::Thresholds;
use crate::catalog::Imported;
use crate::catalog::clients::Clients;
use crate::catalog::password::PasswordHash;
use crate::catalog::view::View;
use crate::model::administration::{AdministrationError, Applied, Change, ImportItem};
use crate::model::command::{Origin, ShardCommand};
use crate::model::event::{Alarms, SessionEvent};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{ConnectionId, ConsumerKey, Name, QueueRef};
use crate::model::names::NameSource;
use crate::model::peer::Entrant;
use crate::model::question::{Answer, MOST_ASKED, Question, QueueCounts};
use crate::port::SharedByPorts;

/// Questions that are under way at a moment, each of which goes to as many shards as it concerns. The others wait for their
/// turn.
const MOST_QUESTIONS: usize = 4;

/// A broker's administration. Cheap to clone.
#[derive(Clone)]
pub struct Administrator(Arc<Handles>);

struct Handles {
    broker: Reached,
    questions: Arc<Semaphore>,
    /// Queues that were found at the start.
    queues_found: u64,
}

/// What of a broker it reaches.
pub(super) struct Reached {
    pub(super) mailboxes: Arc<Mailboxes>,
    pub(super) view: Arc<View>,
    pub(super) ports: Arc<SharedByPorts>,
    pub(super) thresholds: Arc<Thresholds>,
    pub(super) begun: Arc<WorkBegun>,
    pub(super) limits: Arc<CurrentLimits>,
    pub(super) listeners: Arc<ClientListeners>,
    /// None where the log is that of another program, which the broker is a part of.
    pub(super) log: Option<Arc<ProcessLog>>,
    pub(super) stop: CancellationToken,
    pub(super) facts: Facts,
}

impl Administrator {
    pub(super) fn new(broker: Reached) -> Administrator {
        let questions = Arc::new(Semaphore::new(MOST_QUESTIONS));
        let (queues_found, _) = broker.view.read().queue_churn();
        Administrator(Arc::new(Handles { broker, questions, queues_found }))
    }

    /// Makes a change; returns once it is durable.
    pub async fn apply(&self, change: Change) -> Result<Applied, AdministrationError> {
        let (answer, answered) = oneshot::channel();
        self.0.broker.mailboxes.catalog().post(CatalogInput::Administer { change: Box::new(change), answer });
        answered.await.unwrap_or(Err(AdministrationError::Stopping))
    }

    /// Imports definitions, in one commit; returns once they are durable. What could not be carried out is told; where it is to be
    /// strict as an error of the inner result, and then nothing was changed. [`AdministrationError::Stopping`] where the broker stops.
    pub async fn import(
        &self,
        items: Vec<ImportItem>,
        strict: bool,
    ) -> Result<Imported, AdministrationError> {
        let (answer, answered) = oneshot::channel();
        self.0.broker.mailboxes.catalog().post(CatalogInput::Import { items, strict, answer });
        answered.await.map_err(|_| AdministrationError::Stopping)
    }

    /// How much is in each of these queues, in their order; None for one that is gone. What is said of a queue is as of the end
    /// of one turn of its shard, of different queues not of the same moment. [`AdministrationError::Stopping`] where the
    /// broker stops.
    pub async fn counts(&self, queues: &[QueueRef]) -> Result<Vec<Option<QueueCounts>>, AdministrationError> {
        let mut counts = Vec::with_capacity(queues.len());
        for queues in queues.chunks(MOST_ASKED) {
            tokio::select! {
                counted = self.count(queues) => counts.extend(counted?),
                () = self.0.broker.stop.cancelled() => return Err(AdministrationError::Stopping),
            }
        }
        Ok(counts)
    }

    /// The same of no more than one question may name.
    async fn count(&self, queues: &[QueueRef]) -> Result<Vec<Option<QueueCounts>>, AdministrationError> {
        let place = self.place().await?;
        let mut asked: Vec<(Vec<usize>, oneshot::Receiver<Answer>)> = Vec::new();
        for shard in self.0.broker.mailboxes.shard_indices() {
            let here: Vec<usize> = (0..queues.len()).filter(|&at| queues[at].shard == shard).collect();
            if here.is_empty() {
                continue;
            }
            let question = Question::Counts { queues: here.iter().map(|&at| queues[at].queue).collect() };
            let (answer, answered) = oneshot::channel();
            let asker = Asker { answer, place: Some(Arc::clone(&place)) };
            self.0.broker.mailboxes.shard(shard).post(ShardInput::Ask { question, asker });
            asked.push((here, answered));
        }
        let mut counts = vec![None; queues.len()];
        for (here, answered) in asked {
            let Ok(Answer::Counts(counted)) = answered.await else {
                return Err(AdministrationError::Stopping);
            };
            for (at, counted) in here.into_iter().zip(counted) {
                counts[at] = counted;
            }
        }
        Ok(counts)
    }

    pub(super) fn mailboxes(&self) -> &Mailboxes {
        &self.0.broker.mailboxes
    }

    pub(super) fn listeners(&self) -> &ClientListeners {
        &self.0.broker.listeners
    }

    pub(super) fn questions(&self) -> &Arc<Semaphore> {
        &self.0.questions
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.broker.stop
    }

    /// How many queues were created and deleted since the broker has started.
    #[must_use]
    pub fn queue_churn(&self) -> (u64, u64) {
        let (created, deleted) = self.0.broker.view.read().queue_churn();
        (created - self.0.queues_found, deleted)
    }

    /// A client within the process, with a user's permissions in a vhost, or with all: for what clients do and administrators do not,
    /// declaring and publishing. A fault (530) where the user has no permissions there.
    pub fn client(&self, who: Entrant<'_>, vhost: &Name) -> Result<LocalClient, LocalError> {
        let Reached { mailboxes, ports, facts, stop, .. } = &self.0.broker;
        LocalClient::new(Arc::clone(mailboxes), Arc::clone(ports), facts.clock, stop.clone(), who, vhost)
    }

    /// The hash of a password, with a new salt.
    #[must_use]
    pub fn hash_password(&self, password: &str) -> Vec<u8> {
        let salt = NameSource::new(random_seed()).draw().to_le_bytes();
        PasswordHash::new([salt[0], salt[1], salt[2], salt[3]], password).as_bytes().to_vec()
    }

    /// How many bytes a message may have (semantics 9.2).
    #[must_use]
    pub fn max_message_size(&self) -> u64 {
        self.0.broker.limits.get().max_message_size
    }

    /// How many channels a connection may have, as new ones are offered; 0: as many as there are numbers (semantics 1.17).
    #[must_use]
    pub fn channel_max(&self) -> u16 {
        self.0.broker.limits.get().channel_max
    }

    /// Offers so many to connections that come from now on, until the next start.
    pub fn set_channel_max(&self, channel_max: u16) {
        self.0.broker.limits.set_channel_max(channel_max);
    }

    /// Closes a connection with 320 and this reason (semantics 16.8). One that has gone already is passed over.
    pub fn close_connection(&self, connection: ConnectionId, reason: String) {
        let fault = Fault::new(ReplyCode::ConnectionForced, reason);
        let close = SessionEvent::Close(fault);
        self.0.broker.mailboxes.connections().with(connection, |inbox| inbox.mailbox.post(close));
    }

    /// Takes the consumer from its queue and tells its client so; what it holds unacked stays with its channel. One that has gone
    /// already is passed over.
    pub fn cancel_consumer(&self, queue: QueueRef, consumer: ConsumerKey) {
        let revoke = ShardCommand::Revoke { queue: queue.queue, consumer: consumer.number };
        let origin = Origin::Connection(consumer.connection);
        let input = ShardInput::Commands { origin, commands: vec![revoke], permit: None };
        self.0.broker.mailboxes.shard(queue.shard).post(input);
    }

    /// What the broker runs short of.
    #[must_use]
    pub fn alarms(&self) -> Alarms {
        self.0.broker.mailboxes.connections().alarms()
    }

    /// The log of the process; None where that is another program's.
    #[must_use]
    pub fn log(&self) -> Option<&ProcessLog> {
        self.0.broker.log.as_deref()
    }

    /// Bytes that wait for clients to take them.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.0.broker.mailboxes.connections().unwritten()
    }

    /// Bytes of messages and transactions that clients have begun and not ended.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.0.broker.begun.bytes()
    }

    /// What is so of the process.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.broker.facts
    }

    /// What there is, for reading.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.0.broker.view
    }

    /// Who is connected.
    #[must_use]
    pub fn clients(&self) -> &Arc<Clients> {
        self.0.broker.ports.clients()
    }

    /// When publishers are blocked, to read and to change.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.0.broker.thresholds
    }
}
