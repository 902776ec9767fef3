//! What an exchange of type x-recent-history remembers: whoever is bound later gets the last messages, in order, however
//! often the broker was restarted meanwhile; then only those that were persistent.

use leveret_codec::method::amqp::{AMQPClass, basic, queue};
use leveret_codec::table::short_string;

use crate::client::{ChannelMode, Expected};
use crate::model::{MessageId, Violation};
use crate::reading::body;
use crate::topology::{RECENT, REMEMBERED};
use crate::wire::{Outgoing, publish_bytes};
use crate::world::World;

/// The observer's channel for this.
const CHANNEL: u16 = 4;

/// What is to be remembered, oldest first, and whether it was persistent.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<(MessageId, bool)>);

impl History {
    pub(crate) fn restarted(&mut self) {
        self.0.retain(|(_, persistent)| *persistent);
    }

    fn remember(&mut self, id: MessageId, persistent: bool) {
        self.0.push((id, persistent));
        let forgotten = self.0.len().saturating_sub(REMEMBERED.into());
        self.0.drain(..forgotten);
    }
}

impl World {
    /// Binds a new queue and looks at what it is sent; then lets the exchange have some more.
    pub(crate) fn try_history(&mut self) -> Result<(), Violation> {
        let observer = self.observer();
        let (client, broker, model) = (&mut self.clients[observer], &mut self.broker, &mut self.model);
        if client.channel(CHANNEL).is_none() {
            client.open_channel(broker, model, CHANNEL, ChannelMode::Plain, 0);
        }
        let name = format!("late-{}", client.serial());
        let declare =
            queue::Declare { queue: short_string(&name), exclusive: true, ..queue::Declare::default() };
        let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        client.ask(broker, CHANNEL, &method, Expected::Ok(50, 11));
        let bind = queue::Bind {
            queue: short_string(&name),
            exchange: short_string(RECENT),
            ..queue::Bind::default()
        };
        client.ask(broker, CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Bind(bind)), Expected::Ok(50, 21));
        self.rest()?;
        let expected: Vec<MessageId> = self.history.0.iter().map(|(id, _)| *id).collect();
        let client = &mut self.clients[observer];
        client.peeked.clear();
        for _ in 0..=REMEMBERED {
            let get = basic::Get { queue: short_string(&name), no_ack: true };
            client.ask(
                &mut self.broker,
                CHANNEL,
                &AMQPClass::Basic(basic::AMQPMethod::Get(get)),
                Expected::Peek,
            );
        }
        let delete = queue::Delete { queue: short_string(&name), ..queue::Delete::default() };
        let method = AMQPClass::Queue(queue::AMQPMethod::Delete(delete));
        client.ask(&mut self.broker, CHANNEL, &method, Expected::Removed);
        self.rest()?;
        let found = &self.clients[observer].peeked;
        self.model.figures.remembered += found.len() as u64;
        if *found != expected {
            return Err(format!("{RECENT} remembers {found:?} and not {expected:?}"));
        }
        for _ in 0..self.random.below(usize::from(REMEMBERED) + 2) {
            self.publish_recent();
        }
        self.rest()
    }

    fn publish_recent(&mut self) {
        let (id, persistent) = (self.model.issue(), self.random.percent(60));
        let outgoing = Outgoing {
            exchange: RECENT,
            routing_key: "",
            mandatory: false,
            persistent,
            priority: None,
            expiration: None,
            delay: None,
            asks: false,
            body: &body(id, 10),
        };
        let observer = self.observer();
        self.clients[observer].write(&mut self.broker, &publish_bytes(CHANNEL, &outgoing));
        self.history.remember(id, persistent);
    }
}
