//! One seed from its beginning to its end: a broker, its clients, a clock, and the scheduler that decides who acts
//! next. The broker is restarted now and then; in the end every queue is drained and the ledger closed.

use std::collections::VecDeque;

use leveret::model::ids::Timestamp;
use leveret::store::MemoryStore;
use leveret_codec::method::amqp::{AMQPClass, exchange, queue};
use leveret_codec::table::short_string;

use crate::broker::{Actor, Broker, Layout};
use crate::client::{Client, Expected, Mode};
use crate::connection::Gone;
use crate::habits::Around;
use crate::model::{Figures, Model, Violation};
use crate::random::Random;
use crate::topology::{DEAD, FANOUT, Topology};

/// How many of the last steps a failure shows.
const SHOWN: usize = 60;
/// Everything comes to rest within so many steps, or never.
const RESTLESS: usize = 200_000;

/// Who may do something next.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Broker(Actor),
    Reads(usize),
    Acts(usize),
}

pub(crate) struct World {
    random: Random,
    now: Timestamp,
    broker: Broker,
    layout: Layout,
    /// The last one sets up and looks; it does nothing else.
    clients: Vec<Client>,
    model: Model,
    log: VecDeque<String>,
    /// How readily the catalog, a shard, the store, a connection, a reading and an acting client get their turn.
    pace: [usize; 6],
}

/// Runs a seed. A violation comes with the last steps.
pub(crate) fn run(seed: u64, steps: usize) -> Result<Figures, String> {
    let mut world = World::new(seed);
    match world.live(steps) {
        Ok(()) => Ok(world.model.figures),
        Err(violation) => {
            let steps: Vec<String> = world.log.into();
            let queues = world.model.topology.queues.iter().enumerate();
            let plans: Vec<String> = queues.map(|(number, plan)| format!("{number}: {plan:?}")).collect();
            let (steps, plans) = (steps.join("\n"), plans.join("\n"));
            Err(format!("{steps}\n{plans}\n{:?}\n{violation}", world.layout))
        }
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let topology = Topology::random(&mut random);
        let layout = Layout {
            shards: u16::try_from(random.between(1, 3)).unwrap_or(1),
            memory: random.pick(&[500, 8_000, 1 << 30]),
            store_slowness: random.pick(&[0, 3, 40]),
        };
        let now = Timestamp(1_000_000);
        let broker = Broker::start(MemoryStore::new(), true, layout, now, &mut random);
        let clients = 1 + random.below(4);
        World {
            now,
            broker,
            layout,
            clients: (0..=clients).map(Client::new).collect(),
            model: Model::new(topology),
            log: VecDeque::new(),
            pace: [1; 6],
            random,
        }
    }

    fn live(&mut self, steps: usize) -> Result<(), Violation> {
        self.set_up()?;
        let rounds = 2 + self.random.below(3);
        for _ in 0..rounds {
            self.pace = std::array::from_fn(|_| self.random.pick(&[1, 1, 4, 20]));
            let steps = 1 + self.random.below(2 * steps / rounds);
            for _ in 0..steps {
                self.step(true)?;
            }
            match self.random.below(10) {
                0..3 => self.crash()?,
                3 => self.restart_in_order()?,
                _ => self.rest()?,
            }
            self.look()?;
        }
        self.drain()
    }

    fn note(&mut self, what: &str) {
        if self.log.len() == SHOWN {
            self.log.pop_front();
        }
        self.log.push_back(format!("{:>5} {:>4} {what}", self.model.step, self.now.0 - 1_000_000));
    }

    /// Lets somebody do one thing. False where nobody has anything to do.
    fn step(&mut self, busy: bool) -> Result<bool, Violation> {
        self.model.step += 1;
        let mut turns: Vec<(Turn, usize)> = Vec::new();
        for actor in self.broker.runnable(self.now) {
            let pace = match actor {
                Actor::Catalog => self.pace[0],
                Actor::Shard(_) => self.pace[1],
                Actor::Store => self.pace[2],
                Actor::Connection(_) => self.pace[3],
            };
            turns.push((Turn::Broker(actor), pace));
        }
        for (index, client) in self.clients.iter().enumerate() {
            if client.can_read(&self.broker) {
                turns.push((Turn::Reads(index), self.pace[4]));
            }
            if busy && index + 1 < self.clients.len() {
                turns.push((Turn::Acts(index), self.pace[5]));
            }
        }
        if busy && self.random.percent(5) {
            self.now = self.now.plus_millis(self.random.pick(&[1, 1, 10, 60]));
        }
        let mut left = self.random.below(turns.iter().map(|(_, pace)| pace).sum());
        let chosen = turns.into_iter().find(|(_, pace)| {
            let chosen = left < *pace;
            left = left.saturating_sub(*pace);
            chosen
        });
        let Some((turn, _)) = chosen else { return Ok(false) };
        match turn {
            Turn::Broker(actor) => self.broker.act(actor, self.now, &mut self.random),
            Turn::Reads(index) => {
                let most = self.random.pick(&[20, 300, 100_000]);
                let heard = self.clients[index].read(&mut self.broker, &mut self.model, self.now, most);
                match heard {
                    Ok(heard) if heard.is_empty() => {}
                    Ok(heard) => self.note(&format!("client {index} hears {heard}")),
                    Err(violation) => return Err(format!("client {index}: {violation}")),
                }
            }
            Turn::Acts(index) => {
                let (broker, model) = (&mut self.broker, &mut self.model);
                let mut around = Around { broker, model, random: &mut self.random, now: self.now };
                let told = self.clients[index].act(&mut around);
                if !told.is_empty() {
                    self.note(&format!("client {index} {told}"));
                }
            }
        }
        Ok(true)
    }

    /// Nobody does anything new; what is under way is seen to its end.
    fn rest(&mut self) -> Result<(), Violation> {
        for _ in 0..RESTLESS {
            if self.step(false)? {
                continue;
            }
            match self.broker.next_deadline() {
                Some(deadline) => self.now = self.now.max(deadline),
                None => {
                    assert!(self.broker.store_is_idle(), "nothing to do, and the store is busy");
                    self.model.judge_quiet()?;
                    self.model.quiet();
                    self.note("all is quiet");
                    return Ok(());
                }
            }
        }
        Err("the broker does not come to rest".into())
    }

    /// Everything stops at once; the broker comes back with what was on its disk.
    fn crash(&mut self) -> Result<(), Violation> {
        self.note("the broker crashes");
        self.restart(false)
    }

    /// The clients go, then the broker stops in order.
    fn restart_in_order(&mut self) -> Result<(), Violation> {
        self.close_all();
        self.rest()?;
        self.note("the broker is restarted");
        self.restart(true)
    }

    fn restart(&mut self, clean: bool) -> Result<(), Violation> {
        for client in &mut self.clients {
            client.drop_link(&mut self.broker, &mut self.model, Gone::Reset);
        }
        self.model.restarted();
        let empty = Broker::start(MemoryStore::new(), true, self.layout, self.now, &mut self.random);
        let disk = std::mem::replace(&mut self.broker, empty).crash(self.now, &mut self.random);
        self.now = self.now.plus_millis(self.random.pick(&[0, 50, 1_000]));
        self.broker = Broker::start(disk, clean, self.layout, self.now, &mut self.random);
        self.set_up()
    }

    fn observer(&self) -> usize {
        self.clients.len() - 1
    }

    /// Declares everything, as an application does when it starts.
    fn set_up(&mut self) -> Result<(), Violation> {
        let observer = self.observer();
        let connection = self.broker.connect(self.now, &mut self.random);
        let (client, broker, model) = (&mut self.clients[observer], &mut self.broker, &mut self.model);
        client.connect(broker, connection);
        client.open_channel(broker, model, 1, Mode::Plain, 0);
        for (name, kind) in [(FANOUT, "fanout"), (DEAD, "direct")] {
            let declare = exchange::Declare {
                exchange: short_string(name),
                kind: short_string(kind),
                durable: true,
                ..exchange::Declare::default()
            };
            let method = AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare));
            client.ask(broker, 1, &method, Expected::Ok(40, 11));
        }
        for number in 0..model.topology.queues.len() {
            client.declare(broker, model, number, false);
            let plan = &model.topology.queues[number];
            let bound = [(FANOUT, plan.in_fanout), (DEAD, !plan.takes_publishes)];
            for (exchange, _) in bound.into_iter().filter(|(_, bound)| *bound) {
                let bind = queue::Bind {
                    queue: short_string(&plan.name),
                    exchange: short_string(exchange),
                    routing_key: short_string(&plan.name),
                    ..queue::Bind::default()
                };
                client.ask(broker, 1, &AMQPClass::Queue(queue::AMQPMethod::Bind(bind)), Expected::Ok(50, 21));
            }
        }
        self.rest()
    }

    /// Asks every queue how many ready messages it has.
    fn look(&mut self) -> Result<(), Violation> {
        let observer = self.observer();
        // What is still on its way after a crash comes first.
        self.rest()?;
        self.clients[observer].counts.clear();
        for number in 0..self.model.topology.queues.len() {
            self.clients[observer].declare(&mut self.broker, &self.model, number, true);
        }
        self.rest()?;
        for (queue, ready) in self.clients[observer].counts.clone() {
            self.model.judge_ready(queue, ready.into())?;
        }
        Ok(())
    }

    fn close_all(&mut self) {
        let (broker, model) = (&mut self.broker, &mut self.model);
        let mut around = Around { broker, model, random: &mut self.random, now: self.now };
        for client in &mut self.clients {
            client.close_connection(&mut around);
        }
    }

    /// All clients go. Then one drains the queues, the first ones first, and every message is accounted for.
    fn drain(&mut self) -> Result<(), Violation> {
        self.close_all();
        self.rest()?;
        self.set_up()?;
        self.now = self.now.plus_millis(1_000);
        self.rest()?;
        self.look()?;
        self.note("the queues are drained");
        self.model.draining = true;
        let counts = self.clients[self.observer()].counts.clone();
        for (queue, ready) in counts {
            let before = self.model.figures.delivered;
            if self.random.percent(50) {
                self.drain_by_gets(queue, ready)?;
            } else {
                self.drain_queue(queue)?;
            }
            let delivered = self.model.figures.delivered - before;
            if delivered != u64::from(ready) {
                return Err(format!("queue {queue} counted {ready} messages and delivered {delivered}"));
            }
        }
        self.look()?;
        if let Some((queue, ready)) =
            self.clients[self.observer()].counts.iter().find(|(_, ready)| *ready > 0)
        {
            return Err(format!("queue {queue} still holds {ready} messages after it was drained"));
        }
        self.model.judge_end(self.now)
    }

    fn drain_queue(&mut self, queue: usize) -> Result<(), Violation> {
        let observer = self.observer();
        let prefetch = self.random.pick(&[0, 1, 7]);
        let (broker, model) = (&mut self.broker, &mut self.model);
        self.clients[observer].consume(broker, model, 1, queue, (prefetch, false));
        loop {
            self.rest()?;
            let before = self.model.figures.delivered;
            self.clients[observer].ack_all(&mut self.broker, &mut self.model, 1);
            self.rest()?;
            if self.model.figures.delivered == before {
                return Ok(());
            }
        }
    }

    fn drain_by_gets(&mut self, queue: usize, ready: u32) -> Result<(), Violation> {
        let observer = self.observer();
        for left in (0..ready).rev() {
            self.clients[observer].get_from(&mut self.broker, &mut self.model, 1, queue);
            self.rest()?;
            let remaining = self.clients[observer].remaining;
            if remaining != Some(left) {
                return Err(format!("get-ok of queue {queue} leaves {remaining:?}, not {left}"));
            }
            self.clients[observer].ack_all(&mut self.broker, &mut self.model, 1);
        }
        self.clients[observer].got_empty = false;
        self.clients[observer].get_from(&mut self.broker, &mut self.model, 1, queue);
        self.rest()?;
        if self.clients[observer].got_empty { Ok(()) } else { Err(format!("queue {queue} is not empty")) }
    }
}
