//! One seed from its beginning to its end: a broker, its clients, a clock, and the scheduler that decides who acts
//! next. The broker is restarted now and then; in the end every queue is drained and the ledger closed.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use leveret::model::holdings::While;
use leveret::model::ids::Timestamp;
use leveret::store::MemoryStore;

use crate::broker::{Actor, Broker, Layout};
use crate::client::Client;
use crate::fault::{Fault, FaultInjector};
use crate::history::History;
use crate::model::{Figures, Model, Violation};
use crate::random::Random;
use crate::simulated_disk::SimulatedDisk;
use crate::store::Medium;
use crate::topology::Topology;
use crate::workload::Around;

/// How many of the last steps a failure shows.
const SHOWN: usize = 60;
/// One seed in so many runs on the real store.
const ON_FILES: u64 = 4;
/// In one seed of so many nothing is delivered before it is durable.
const HOLDING_BACK: u64 = 7;
/// Everything comes to rest within so many steps, or never.
const RESTLESS: usize = 200_000;

/// Who may do something next.
#[derive(Clone, Copy, Debug, Hash)]
enum Turn {
    Broker(Actor),
    Reads(usize),
    Acts(usize),
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Timestamp,
    pub(crate) broker: Broker,
    pub(crate) layout: Layout,
    /// The last one sets up and looks; it does nothing else.
    pub(crate) clients: Vec<Client>,
    pub(crate) model: Model,
    pub(crate) history: History,
    pub(crate) fault_injector: FaultInjector,
    pub(crate) log: VecDeque<String>,
    /// Of everything that has happened, in order.
    trace: DefaultHasher,
    /// How readily the catalog, a shard, the store, a connection, a reading and an acting client get their turn.
    pub(crate) pace: [usize; 6],
}

/// Runs a seed, with something wrong in the broker or nothing. A violation comes with the last steps.
pub(crate) fn run(seed: u64, steps: usize, fault: Option<Fault>) -> Result<Figures, String> {
    let mut world = World::new(seed, fault);
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

/// A number that two runs share only where the same happened in both.
pub(crate) fn trace(seed: u64, steps: usize) -> u64 {
    let mut world = World::new(seed, None);
    let outcome = world.live(steps);
    assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
    world.trace.finish()
}

impl World {
    fn new(seed: u64, fault: Option<Fault>) -> World {
        let mut random = Random(seed);
        let topology = Topology::random(&mut random);
        let layout = Layout {
            shards: u16::try_from(random.between(1, 3)).unwrap_or(1),
            memory: random.pick(&[500, 8_000, 1 << 30]),
            store_slowness: random.pick(&[0, 3, 40]),
            holding_back: seed % HOLDING_BACK == HOLDING_BACK - 1,
            hurried: fault == Some(Fault::DeliversTooEarly),
        };
        let now = Timestamp(1_000_000);
        let medium = if seed % ON_FILES == ON_FILES - 1 {
            Medium::Files(SimulatedDisk::default())
        } else {
            Medium::Memory(MemoryStore::new())
        };
        let broker = Broker::start(medium, true, layout, now, &mut random);
        let clients = 1 + random.below(4);
        World {
            now,
            broker,
            layout,
            clients: (0..=clients).map(Client::new).collect(),
            model: Model::new(topology),
            history: History::default(),
            fault_injector: FaultInjector::new(fault),
            log: VecDeque::new(),
            trace: DefaultHasher::new(),
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
            match self.random.below(12) {
                0..3 => self.crash()?,
                3..5 => self.lose_disk()?,
                5 => self.restart_in_order()?,
                _ => self.rest()?,
            }
            self.look()?;
            if self.random.percent(50) {
                self.keep_house()?;
            }
            if self.random.percent(50) {
                self.try_history()?;
            }
        }
        self.drain()
    }

    pub(crate) fn note(&mut self, what: &str) {
        if self.log.len() == SHOWN {
            self.log.pop_front();
        }
        what.hash(&mut self.trace);
        self.log.push_back(format!("{:>5} {:>4} {what}", self.model.step, self.now.0 - 1_000_000));
    }

    /// Lets somebody do one thing. False where nobody has anything to do.
    pub(crate) fn step(&mut self, busy: bool) -> Result<bool, Violation> {
        self.model.step += 1;
        self.model.now = self.now;
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
        (turn, self.now).hash(&mut self.trace);
        match turn {
            Turn::Broker(actor) => {
                self.broker.act(actor, self.now, &mut self.random, &mut self.fault_injector)?;
                if let Actor::Shard(index) = actor {
                    self.broker.check_sent(index)?;
                }
            }
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

    /// Nobody does anything new, and the clock stands still.
    pub(crate) fn calm(&mut self) -> Result<(), Violation> {
        while self.step(false)? {}
        self.model.calm();
        Ok(())
    }

    /// Nothing is on its way: whoever asked for something has its answer.
    fn check_answers(&self) -> Result<(), Violation> {
        for (index, client) in self.clients.iter().enumerate() {
            let Some(link) = &client.link else { continue };
            let waits = link.channels.iter().find(|(_, own)| own.closing || !own.expected.is_empty());
            if link.closing || waits.is_some() {
                return Err(format!("client {index} never gets an answer: {waits:?}"));
            }
        }
        Ok(())
    }

    /// Nobody does anything new; what is under way is seen to its end.
    pub(crate) fn rest(&mut self) -> Result<(), Violation> {
        self.calm()?;
        for _ in 0..RESTLESS {
            if self.step(false)? {
                continue;
            }
            match self.broker.next_deadline() {
                Some(deadline) => self.now = self.now.max(deadline),
                None => {
                    assert!(self.broker.store_is_idle(), "nothing to do, and the store is busy");
                    self.check_answers()?;
                    self.model.check_quiet()?;
                    self.check_holdings(While::InTransit)?;
                    let unanswered = self.broker.unanswered();
                    if unanswered > 0 {
                        return Err(format!("{unanswered} questions have no answer"));
                    }
                    self.model.quiet();
                    self.note("all is quiet");
                    return Ok(());
                }
            }
        }
        Err("the broker does not come to rest".into())
    }
}
