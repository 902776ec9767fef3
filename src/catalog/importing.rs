//! Definitions imported together: in one commit, and yet in steps. First every item is checked (`imported_things`), then every item is
//! carried out, some at a time, and others are served between two steps. What the whole of it has to write is handed out at its end: until
//! then [`Catalog::is_importing`], and the catalog's owner keeps back all records and answers, so that they are one commit of
//! the store. A strict import of which something cannot be carried out
//! has changed nothing; one that is cut short by the end of the process leaves nothing.

use crate::model::administration::{Change, ImportItem, LeftOut};
use crate::model::command::QueueDeclare;
use crate::model::ids::{ConnectionId, Timestamp};

use super::import::{Import, ImportNumber, Phase, Things};
use super::imported_things::explained;
use super::pattern::Pattern;
use super::work::Task;
use super::{Catalog, CatalogEffects};

/// What one step does: so many items of some ten microseconds each, or as much of what takes longer.
pub(crate) const MOST_COST: usize = 64;
/// What a vhost counts as, with its predeclared exchanges.
const COST_OF_VHOST: usize = 8;
/// Items that are given back in one step.
const GIVEN_BACK: usize = 1024;
/// Nobody's connection: they begin at 1.
pub(super) const NOBODY: ConnectionId = ConnectionId(0);

impl Catalog {
    /// Begins an import; the end of it comes with [`CatalogEffects::imported`].
    pub fn import(&mut self, items: Vec<ImportItem>, strict: bool, fx: &CatalogEffects) -> ImportNumber {
        self.changes += 1;
        let number = ImportNumber(self.changes);
        let import = Import {
            number,
            strict,
            phase: Phase::Checking,
            items: items.into_iter().map(Some).collect(),
            next: 0,
            made: Things::default(),
            failed: LeftOut::default(),
        };
        self.begin(Task::Import(import), None, fx);
        self.begun = 0;
        number
    }

    /// Whether something is being imported: what has to be written waits for the end of it.
    #[must_use]
    pub fn is_importing(&self) -> bool {
        self.work.iter().any(|work| matches!(work.task, Task::Import(_)))
    }

    /// Does a step. Returns whether it was the last one.
    pub(super) fn import_some(
        &mut self,
        now: Timestamp,
        import: &mut Import,
        fx: &mut CatalogEffects,
    ) -> bool {
        match import.phase {
            Phase::Checking => {
                self.check_some(import);
                if import.next == import.items.len() {
                    let is_refused = import.strict && !import.failed.is_empty();
                    import.phase = if is_refused { Phase::GivingUp } else { Phase::CarryingOut };
                    import.next = 0;
                }
                false
            }
            Phase::CarryingOut => {
                self.carry_out_some(now, import, fx);
                let is_done = import.next == import.items.len();
                if is_done {
                    fx.imported.push((import.number, Ok(std::mem::take(&mut import.failed))));
                }
                is_done
            }
            Phase::GivingUp => {
                import.items.truncate(import.items.len().saturating_sub(GIVEN_BACK));
                let is_done = import.items.is_empty();
                if is_done {
                    fx.imported.push((import.number, Err(std::mem::take(&mut import.failed))));
                }
                is_done
            }
        }
    }

    fn check_some(&self, import: &mut Import) {
        let view = self.view.clone();
        let state = view.read();
        let mut cost = 0;
        while cost < MOST_COST
            && let Some(place) = import.items.get_mut(import.next)
        {
            import.next += 1;
            let Some(item) = place else { continue };
            cost += cost_of_check(item);
            if let Err(why) = import.made.check(&state, item) {
                import.failed.push(why);
                *place = None;
            }
        }
    }

    fn carry_out_some(&mut self, now: Timestamp, import: &mut Import, fx: &mut CatalogEffects) {
        let mut cost = 0;
        while cost < MOST_COST
            && let Some(place) = import.items.get_mut(import.next)
        {
            import.next += 1;
            let Some(item) = place.take() else { continue };
            cost += match &item {
                ImportItem::Change(change) => cost_of_change(change),
                // Its name is matched against all policies.
                ImportItem::Exchange { vhost, .. } | ImportItem::Queue { vhost, .. } => {
                    1 + self.view.read().vhost(vhost).map_or(0, |vhost| vhost.policies.len())
                }
                ImportItem::Binding { .. } => 1,
            };
            if let Err(why) = self.carry_out(now, item, fx) {
                import.failed.push(why);
            }
        }
    }

    fn carry_out(&mut self, now: Timestamp, item: ImportItem, fx: &mut CatalogEffects) -> Result<(), String> {
        let view = self.view.clone();
        let pattern = match &item {
            ImportItem::Change(Change::PutPolicy { policy, .. }) => Pattern::parse(&policy.pattern),
            _ => Ok(Pattern::Nothing),
        };
        let mut state = view.write();
        let outcome = match item {
            ImportItem::Change(change) => {
                let applied = self.apply(&mut state, change, pattern, fx);
                applied.map(drop).map_err(|error| error.to_string())
            }
            ImportItem::Exchange { vhost, declare } => {
                if state.exchange(&vhost, &declare.name).is_some() {
                    return Ok(());
                }
                self.declare_exchange(&mut state, &vhost, declare, None, fx).map_err(explained)
            }
            ImportItem::Queue { vhost, declare } => {
                if state.queue(&vhost, &declare.name).is_some() {
                    return Ok(());
                }
                let declare = QueueDeclare {
                    connection: NOBODY,
                    vhost,
                    server_named: false,
                    request: declare,
                    refused_if_new: None,
                };
                self.create_imported_queue(&mut state, declare, fx).map_err(explained)
            }
            ImportItem::Binding { vhost, to, binding } => {
                self.bind(&mut state, NOBODY, &vhost, to, &binding, fx).map_err(explained)
            }
        };
        view.changed();
        view.set_written(false);
        fx.publish_events(&state, view.wall_time(now));
        // What policies are to be applied to comes as further works.
        self.begun = 0;
        outcome
    }
}

/// What to check an item counts as.
pub(super) fn cost_of_check(item: &ImportItem) -> usize {
    match item {
        ImportItem::Change(change) => cost_of_change(change),
        ImportItem::Exchange { .. } | ImportItem::Queue { .. } | ImportItem::Binding { .. } => 1,
    }
}

/// Expressions are compiled, which may take some milliseconds for each.
fn cost_of_change(change: &Change) -> usize {
    match change {
        Change::PutPermissions { .. } | Change::PutTopicPermissions { .. } | Change::PutPolicy { .. } => {
            MOST_COST
        }
        Change::PutVhost { .. } => COST_OF_VHOST,
        _ => 1,
    }
}
