//! The turn of the catalog. Commands to shards leave at once; answers to connections wait until the records they
//! speak of are durable, whichever turn made them.

use std::collections::VecDeque;
use std::sync::Arc;

use tracing::warn;

use super::Carrier;
use super::inputs::{AnswerTo, CatalogInput, ImportAnswerTo, ShardInput, StoreRequest};
use crate::catalog::{Catalog, CatalogEffects, ChangeNumber, ImportNumber, Imported, Outcome};
use crate::model::administration::Applied;
use crate::model::command::{Origin, ShardCommand};
use crate::model::event::SessionEvent;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ShardIndex, Timestamp};
use crate::model::sparse::ShrinkIfSparse;
use crate::server::LogLimit;
use crate::server::in_flight::InFlightLimit;

/// Commands that a turn hands to shards; an import makes very many at once.
const MOST_COMMANDS: usize = 4096;
/// Bytes of events that shards may have in their mailboxes. The catalog cannot be held back: what would be more is dropped.
const MOST_EVENTS: usize = 16 << 20;

static DROPPED: LogLimit = LogLimit::new(1);

/// Answers that wait for the records of a turn.
struct Held {
    sequence: u64,
    answers: Vec<(ConnectionId, SessionEvent)>,
    administrators: Vec<(AnswerTo, Applied)>,
    imports: Vec<(ImportAnswerTo, Imported)>,
}

pub struct CatalogOwner {
    catalog: Catalog,
    effects: CatalogEffects,
    held: VecDeque<Held>,
    /// Who is to be answered once this turn's records are durable.
    administrators: Vec<(AnswerTo, Applied)>,
    /// Whose changes take several turns.
    begun: Vec<(ChangeNumber, AnswerTo)>,
    /// Events on their way to shards.
    events: Arc<InFlightLimit>,
    /// Who is to be answered of an import once this turn's records are durable, and whose is under way.
    imports: Vec<(ImportAnswerTo, Imported)>,
    importing: Vec<(ImportNumber, ImportAnswerTo)>,
    /// Commands that wait to be handed to shards, before those of this turn.
    outgoing: VecDeque<(ShardIndex, ShardCommand)>,
    /// The newest turn that had records.
    sequence: u64,
    stopped: bool,
}

impl CatalogOwner {
    #[must_use]
    pub fn new(catalog: Catalog) -> CatalogOwner {
        CatalogOwner {
            catalog,
            effects: CatalogEffects::default(),
            held: VecDeque::new(),
            administrators: Vec::new(),
            begun: Vec::new(),
            events: InFlightLimit::new(),
            imports: Vec::new(),
            importing: Vec::new(),
            outgoing: VecDeque::new(),
            sequence: 0,
            stopped: false,
        }
    }

    /// How many of its records it could not read.
    #[must_use]
    pub fn bad_records(&self) -> usize {
        self.catalog.bad_records().len()
    }

    /// What it holds, and what the view does.
    pub fn holdings(&self, into: &mut Holdings) {
        let CatalogOwner {
            catalog,
            effects,
            held,
            administrators,
            begun,
            events,
            imports,
            importing,
            outgoing,
            sequence: _,
            stopped: _,
        } = self;
        into.in_transit("catalog: imports to be answered", imports);
        into.in_transit("catalog: imports under way", importing);
        into.in_transit("catalog: commands that wait to be handed to shards", outgoing);
        catalog.holdings(into);
        effects.holdings(into);
        into.in_transit("catalog: answers that wait for their records", held);
        into.in_transit("catalog: administrators to be answered", administrators);
        into.in_transit("catalog: administrators whose changes take long", begun);
        into.in_transit("catalog: bytes of events on their way", &events.in_flight());
    }

    /// It was told to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes in all of `inputs`, and does a step of what takes long.
    pub fn turn(&mut self, now: Timestamp, inputs: &mut Vec<CatalogInput>, carrier: &mut impl Carrier) {
        for input in inputs.drain(..) {
            match input {
                CatalogInput::Command(command) => self.catalog.handle(now, command, &mut self.effects),
                CatalogInput::Administer { change, answer } => {
                    match self.catalog.administer(now, *change, &mut self.effects) {
                        Ok(Outcome::Done(applied)) => self.administrators.push((answer, applied)),
                        Ok(Outcome::Begun(change)) => self.begun.push((change, answer)),
                        // Whoever asked may have given up waiting.
                        Err(refused) => drop(answer.send(Err(refused))),
                    }
                }
                CatalogInput::Import { items, strict, answer } => {
                    self.importing.push((self.catalog.import(items, strict, &self.effects), answer));
                }
                CatalogInput::Durable { sequence } => self.durable(sequence, carrier),
                CatalogInput::Stop => self.stopped = true,
            }
        }
        self.catalog.step(now, &mut self.effects);
        while self.stopped && self.catalog.has_work() {
            self.catalog.step(now, &mut self.effects);
        }
        self.answer_finished();
        self.dispatch(carrier);
        while self.stopped && !self.outgoing.is_empty() {
            self.dispatch_to_shards(carrier);
        }
    }

    /// Whether another turn has something to do, even where nothing comes.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.catalog.has_work() || !self.outgoing.is_empty()
    }

    /// Changes that took several turns are done.
    fn answer_finished(&mut self) {
        for (change, applied) in self.effects.finished.drain(..) {
            if let Some(at) = self.begun.iter().position(|(begun, _)| *begun == change) {
                self.administrators.push((self.begun.swap_remove(at).1, applied));
            }
        }
        for (import, outcome) in self.effects.imported.drain(..) {
            if let Some(at) = self.importing.iter().position(|(begun, _)| *begun == import) {
                self.imports.push((self.importing.swap_remove(at).1, outcome));
            }
        }
        for (vhost, policy) in self.effects.given_up.drain(..) {
            warn!(%vhost, %policy, "the pattern of a policy takes too long to match; names it was given up on do not obey the policy");
        }
    }

    fn durable(&mut self, sequence: u64, carrier: &mut impl Carrier) {
        while self.held.front().is_some_and(|first| first.sequence <= sequence) {
            if let Some(mut done) = self.held.pop_front() {
                carrier.tell_connections(&mut done.answers);
                answer_all(&mut done.administrators);
                answer_imports(&mut done.imports);
            }
        }
        if self.held.is_empty() && self.effects.ops.is_empty() {
            self.catalog.written();
        }
    }

    /// The store hears of a queue before its shard does, so that no message of the queue is durable without it.
    ///
    /// While something is imported, all of it waits for the end of that: then it is one commit, or none of it was.
    fn dispatch(&mut self, carrier: &mut impl Carrier) {
        if self.catalog.is_importing() {
            return self.dispatch_to_shards(carrier);
        }
        let effects = &mut self.effects;
        if effects.ops.is_empty() {
            match self.held.back_mut() {
                // They may speak of what an earlier turn has made.
                Some(last) => {
                    last.answers.append(&mut effects.to_connections);
                    last.administrators.append(&mut self.administrators);
                    last.imports.append(&mut self.imports);
                }
                None => {
                    carrier.tell_connections(&mut effects.to_connections);
                    answer_all(&mut self.administrators);
                    answer_imports(&mut self.imports);
                }
            }
        } else {
            self.sequence += 1;
            let ops = std::mem::take(&mut effects.ops);
            carrier.ask_store(StoreRequest::Catalog { sequence: self.sequence, ops });
            self.held.push_back(Held {
                sequence: self.sequence,
                answers: std::mem::take(&mut effects.to_connections),
                administrators: std::mem::take(&mut self.administrators),
                imports: std::mem::take(&mut self.imports),
            });
        }
        if self.outgoing.is_empty() && effects.to_shards.len() > MOST_COMMANDS {
            // Very many are not moved one by one.
            self.outgoing = VecDeque::from(std::mem::take(&mut effects.to_shards));
        } else {
            self.outgoing.extend(effects.to_shards.drain(..));
        }
        effects.give_room_back();
        self.dispatch_to_shards(carrier);
    }

    fn dispatch_to_shards(&mut self, carrier: &mut impl Carrier) {
        let mut dropped = 0;
        let count = self.outgoing.len().min(MOST_COMMANDS);
        for (shard, command) in self.outgoing.drain(..count) {
            let permit = match &command {
                ShardCommand::Publish { .. } => {
                    if self.events.in_flight() >= MOST_EVENTS {
                        dropped += 1;
                        continue;
                    }
                    Some(self.events.acquire(command.footprint()))
                }
                _ => None,
            };
            let origin = Origin::Catalog;
            carrier.tell_shard(shard, ShardInput::Commands { origin, commands: vec![command], permit });
        }
        self.outgoing.shrink_if_sparse();
        if dropped > 0
            && let Some(kept_back) = DROPPED.permit()
        {
            warn!(dropped, kept_back, "events were dropped, for too many of them wait for a shard");
        }
    }
}

fn answer_imports(imports: &mut Vec<(ImportAnswerTo, Imported)>) {
    for (answer, outcome) in imports.drain(..) {
        let _ = answer.send(outcome);
    }
}

/// Tells administrators that their changes are durable. Some may have given up waiting.
fn answer_all(administrators: &mut Vec<(AnswerTo, Applied)>) {
    for (answer, applied) in administrators.drain(..) {
        let _ = answer.send(Ok(applied));
    }
}
