//! The resource ledger: what is left of what has gone. Whenever all is quiet, nothing may be held as if it were on its way;
//! once all clients have gone and the queues are drained, nothing of clients and messages; and once everything is deleted,
//! nothing of what was declared. What emptied itself may keep little room.

use leveret::model::holdings::{Holding, While};
use leveret_codec::method::amqp::{AMQPClass, exchange, queue};
use leveret_codec::table::short_string;

use crate::client::Expected;
use crate::model::Violation;
use crate::topology::{DEAD, FANOUT, LATER, QueuePlan, RECENT};
use crate::world::World;

/// Items that an empty collection may have room for.
const SMALL: usize = 256;

/// What a turn leads to is gathered in buffers that are used again. They give room back from a MiB on
/// (`model::sparse`), which no turn here needs.
const USED_AGAIN: &[&str] = &[
    "queue effects",
    "shard effects",
    "shard: to",
    "shard: dead letters to be sent",
    "confirms: waiting",
    "catalog effects",
];

impl World {
    /// Nothing of this kind is held.
    pub(crate) fn check_holdings(&self, what: While) -> Result<(), Violation> {
        let holdings = self.broker.holdings();
        let checked = holdings.iter().filter(|holding| holding.held <= what);
        // What others go on using may be as large as they need it.
        let is_large = |holding: &Holding| what == While::Declared && holding.capacity > SMALL;
        let may_be = |holding: &Holding| USED_AGAIN.iter().any(|owner| holding.name.starts_with(owner));
        let kept =
            checked.filter(|holding| holding.len > 0 || (is_large(holding) && !may_be(holding))).last();
        match kept {
            Some(Holding { name, len, capacity, .. }) => {
                Err(format!("{name} still holds {len}, with room for {capacity}, when {what:?} is over"))
            }
            None => Ok(()),
        }
    }

    /// The queues are drained. The clients go, and what they left in queues of their own; then everything else.
    pub(crate) fn leave_nothing(&mut self) -> Result<(), Violation> {
        self.note("everybody goes");
        self.close_all();
        self.rest()?;
        self.connect_observer();
        self.delete_queues(|plan| !plan.is_permanent());
        self.rest()?;
        self.close_all();
        self.rest()?;
        self.check_holdings(While::InUse)?;
        self.note("everything is deleted");
        self.connect_observer();
        self.delete_queues(QueuePlan::is_permanent);
        for name in [FANOUT, DEAD, LATER, RECENT] {
            let delete = exchange::Delete { exchange: short_string(name), ..exchange::Delete::default() };
            self.ask_for(&AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)), Expected::Ok(40, 21));
        }
        self.rest()?;
        self.close_all();
        self.rest()?;
        self.check_holdings(While::Declared)
    }

    fn delete_queues(&mut self, which: impl Fn(&QueuePlan) -> bool) {
        let plans = self.model.topology.queues.iter().filter(|plan| which(plan));
        for name in plans.map(|plan| plan.name.clone()).collect::<Vec<_>>() {
            let delete = queue::Delete { queue: short_string(&name), ..queue::Delete::default() };
            self.ask_for(&AMQPClass::Queue(queue::AMQPMethod::Delete(delete)), Expected::Ok(50, 41));
        }
    }

    fn ask_for(&mut self, method: &AMQPClass, expected: Expected) {
        let observer = self.observer();
        self.clients[observer].ask(&mut self.broker, 1, method, expected);
    }
}
