//! A client within the process: it declares, binds, deletes, purges, publishes and gets as a connection does, with a user's
//! own permissions, by a port and the mailboxes, but without a socket, frames or channels. What it asks is what one person asks of
//! the management API, so it does one thing at a time and waits for it.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::connections::Inbox;
use super::in_flight::InFlightLimit;
use super::mailboxes::Mailboxes;
use super::owners::{Carrier, ShardInput, carry};
use super::random::random_seed;
use super::router::Router;
use crate::model::by_shard::ByShard;
use crate::model::consuming::{Delivery, Settlement};
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::fault::Fault;
use crate::model::ids::{
    ChannelNumber, ConnectionId, ConsumerNumber, Name, Position, PositionRange, QueueRef,
};
use crate::model::message::Message;
use crate::model::peer::Entrant;
use crate::model::port::{BrokerPort, Progress};
use crate::model::request::{Reply, Request};
use crate::port::{Port, SharedByPorts};

/// How long an owner may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// It has no channels; where one is named (the firehose), it is this one.
const CHANNEL: ChannelNumber = 1;
/// What its gets count as.
const GETTER: ConsumerNumber = ConsumerNumber(1);

/// Why something was not done.
#[derive(Clone, Debug, Error)]
pub enum LocalError {
    /// As a connection would be told.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// Publishers are blocked by an alarm (semantics 13.1); the text says which.
    #[error("publishers are blocked: {0}")]
    Blocked(&'static str),
    /// Nobody answered in time: whether it was done is unknown.
    #[error("the broker did not answer in time")]
    Slow,
    /// The broker stops: whether it was done is unknown.
    #[error("the broker is stopping")]
    Stopping,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Its queues have it, on disk where that is owed.
    Confirmed,
    /// It reached no queue.
    Unroutable,
    /// A queue is full and refused it.
    Refused,
}

/// A message that a client got and has not settled, without its content.
#[derive(Clone, Copy, Debug)]
pub struct Unsettled {
    queue: QueueRef,
    position: Position,
}

impl From<&Delivery> for Unsettled {
    fn from(delivery: &Delivery) -> Unsettled {
        Unsettled { queue: delivery.queue, position: delivery.position }
    }
}

/// One client. Dropped, it gives back what it holds: unsettled messages go back to their queues.
/// What it was not told in time may still come, so one that has waited in vain, or was sent away, does nothing any more: it says the
/// same error again.
pub struct LocalClient {
    id: ConnectionId,
    port: Port,
    inbox: Arc<Inbox>,
    mailboxes: Arc<Mailboxes>,
    /// The shards that were told anything.
    told: ByShard<()>,
    in_flight_limit: Arc<InFlightLimit>,
    clock: Clock,
    stop: CancellationToken,
    /// How long an owner may take to answer.
    patience: Duration,
    events: Vec<SessionEvent>,
    /// Why publishers are blocked.
    blocked: Option<&'static str>,
    published: u64,
    /// Why it does nothing any more.
    ended: Option<LocalError>,
}

impl LocalClient {
    /// A client in a vhost, of a user or of an administrator. 530 where the user has no permissions there.
    pub(super) fn new(
        mailboxes: Arc<Mailboxes>,
        ports: Arc<SharedByPorts>,
        clock: Clock,
        stop: CancellationToken,
        who: Entrant<'_>,
        vhost: &Name,
    ) -> Result<LocalClient, LocalError> {
        let (id, inbox) = mailboxes.connections().register();
        let port = Port::new(id, ports, random_seed());
        let mut client = LocalClient {
            id,
            port,
            inbox,
            mailboxes,
            told: ByShard::default(),
            in_flight_limit: InFlightLimit::new(),
            clock,
            stop,
            patience: PATIENCE,
            events: Vec::new(),
            blocked: None,
            published: 0,
            ended: None,
        };
        client.port.enter(who, vhost)?;
        Ok(client)
    }

    /// Asks for something and waits for the answer. A refusal is the error; 540 for an exclusive queue, for nobody would hear of the
    /// end of who owns it.
    pub async fn request(&mut self, request: Request) -> Result<Reply, LocalError> {
        self.check()?;
        if matches!(&request, Request::DeclareQueue(declare) if declare.exclusive) {
            return Err(Fault::not_implemented("exclusive queues belong to connections").into());
        }
        let progress = self.port.request(self.clock.now(), request);
        self.send();
        let reply = match progress {
            Progress::Done(reply) => reply,
            Progress::Pending => {
                let deadline = Instant::now() + self.patience;
                self.hear(deadline, |event| match event {
                    SessionEvent::Reply(reply) => Some(reply),
                    _ => None,
                })
                .await?
            }
        };
        match reply {
            Reply::Refused(fault) => Err(fault.into()),
            reply => Ok(reply),
        }
    }

    /// Gets a message, and how many ready ones remain; none where the queue is empty. Without `no_ack` it is the client's
    /// until it is settled.
    pub async fn get(&mut self, queue: &Name, no_ack: bool) -> Result<Option<(Delivery, u32)>, LocalError> {
        match self.request(Request::Get { queue: queue.clone(), consumer: GETTER, no_ack }).await? {
            Reply::Got { delivery, remaining } => {
                self.port.delivered(CHANNEL, &delivery);
                self.send();
                Ok(Some((*delivery, remaining)))
            }
            _ => Ok(None),
        }
    }

    /// Settles a message that it got.
    pub fn settle(&mut self, message: Unsettled, settlement: Settlement) {
        let range = PositionRange::single(message.position);
        self.port.settle(message.queue, GETTER, range, settlement);
        self.send();
    }

    /// Publishes and waits until it is confirmed.
    pub async fn publish(&mut self, message: Message) -> Result<Published, LocalError> {
        self.check()?;
        self.look();
        if let Some(why) = self.blocked {
            return Err(LocalError::Blocked(why));
        }
        let routed = self.port.route(self.clock.now(), CHANNEL, Arc::new(message))?;
        let is_unroutable = routed.is_unroutable();
        self.published += 1;
        let token = ConfirmToken { channel: CHANNEL, epoch: 1, sequence: self.published };
        let mut awaited = self.port.submit(routed, Some(token));
        self.send();
        let mut accepted = true;
        // All of its queues together may take so long.
        let deadline = Instant::now() + self.patience;
        while awaited > 0 {
            accepted &= self
                .hear(deadline, |event| match event {
                    SessionEvent::Confirm { token: of, accepted } if of == token => Some(accepted),
                    _ => None,
                })
                .await?;
            awaited -= 1;
        }
        Ok(match (is_unroutable, accepted) {
            (true, _) => Published::Unroutable,
            (false, true) => Published::Confirmed,
            (false, false) => Published::Refused,
        })
    }

    fn check(&self) -> Result<(), LocalError> {
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Hears what has come already.
    fn look(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        if events.is_empty() {
            self.inbox.mailbox.take(&mut events);
        }
        for event in &events {
            if let SessionEvent::Alarm(alarms) = event {
                self.blocked = alarms.reason();
            }
        }
        self.events = events;
    }

    /// Waits for an event; what comes behind it is kept. Being sent away is an error, and so is to hear nothing in time.
    async fn hear<T>(
        &mut self,
        deadline: Instant,
        wanted: impl Fn(SessionEvent) -> Option<T>,
    ) -> Result<T, LocalError> {
        let heard = self.hear_until(deadline, wanted).await;
        if let Err(error) = &heard {
            self.ended = Some(error.clone());
        }
        heard
    }

    async fn hear_until<T>(
        &mut self,
        deadline: Instant,
        wanted: impl Fn(SessionEvent) -> Option<T>,
    ) -> Result<T, LocalError> {
        loop {
            self.look();
            let mut events = std::mem::take(&mut self.events).into_iter();
            while let Some(event) = events.next() {
                if let SessionEvent::Close(fault) = event {
                    return Err(fault.into());
                }
                if let Some(found) = wanted(event) {
                    self.events = events.collect();
                    return Ok(found);
                }
            }
            let mut worked_off = Vec::new();
            tokio::select! {
                arrived = timeout_at(deadline, self.inbox.mailbox.arrival(&mut worked_off)) => {
                    arrived.map_err(|_| LocalError::Slow)?;
                }
                () = self.stop.cancelled() => return Err(LocalError::Stopping),
            }
        }
    }

    /// Carries what the port was asked to those who do it, as a connection's turn does.
    fn send(&mut self) {
        let router = &mut Router::new(&self.mailboxes);
        carry(self.id, self.port.take_outgoing(), &self.in_flight_limit, &mut self.told, router);
    }
}

impl Drop for LocalClient {
    /// Whatever happened, also where whoever asked has gone meanwhile.
    fn drop(&mut self) {
        let router = &mut Router::new(&self.mailboxes);
        for (shard, ()) in self.told.drain() {
            router.tell_shard(shard, ShardInput::ConnectionGone(self.id));
        }
        self.mailboxes.connections().unregister(self.id);
    }
}

#[cfg(test)]
mod tests;
