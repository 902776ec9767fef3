//! Definitions imported together: in one commit, and yet in steps. First every item is checked, then every item is carried out, some
//! at a time, and others are served between two steps. What the whole of it has to write is handed out at its end: until
//! then [`Catalog::is_importing`], and the catalog's owner keeps back all records and answers, so that they are one commit of
//! the store. A strict import of which something cannot be carried out
//! has changed nothing; one that is cut short by the end of the process leaves nothing.

use std::collections::{HashSet, VecDeque};

use crate::model::administration::{Change, ImportItem};
use crate::model::command::{BindingEnds, QueueDeclare};
use crate::model::fault::Fault;
use crate::model::ids::{ConnectionId, Name, Timestamp};
use crate::model::request::Binding;

use super::administration::{check_expression, check_name};
use super::exchanges::kind;
use super::import::{Import, ImportNumber, Made};
use super::password::PasswordHash;
use super::pattern::Pattern;
use super::view::ViewState;
use super::work::Task;
use super::{Catalog, CatalogEffects, policies, queues};
use crate::model::administration::Password;

/// Items that are checked or carried out in one step: some ten microseconds each.
const TOGETHER: usize = 64;
/// Nobody's connection: they begin at 1.
const NOBODY: ConnectionId = ConnectionId(0);

impl Catalog {
    /// Begins an import; the end of it comes with [`CatalogEffects::imported`].
    pub fn import(&mut self, items: Vec<ImportItem>, strict: bool, fx: &CatalogEffects) -> ImportNumber {
        self.changes += 1;
        let number = ImportNumber(self.changes);
        let import = Import {
            number,
            strict,
            unchecked: items.into_iter(),
            checked: VecDeque::new(),
            made: HashSet::new(),
            failed: Vec::new(),
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
        if import.unchecked.len() > 0 {
            self.check_some(import);
            if import.unchecked.len() == 0 && import.strict && !import.failed.is_empty() {
                fx.imported.push((import.number, Err(import.failed.join("; "))));
                return true;
            }
            return false;
        }
        for _ in 0..TOGETHER {
            let Some(item) = import.checked.pop_front() else { break };
            if let Err(why) = self.carry_out(now, item, fx) {
                import.failed.push(why);
            }
        }
        if import.checked.is_empty() {
            fx.imported.push((import.number, Ok(std::mem::take(&mut import.failed))));
            return true;
        }
        false
    }

    fn check_some(&self, import: &mut Import) {
        let view = self.view.clone();
        let state = view.read();
        for item in import.unchecked.by_ref().take(TOGETHER) {
            match check(&state, &import.made, &item) {
                Ok(made) => {
                    import.made.extend(made);
                    import.checked.push_back(item);
                }
                Err(why) => import.failed.push(why),
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

fn explained(fault: Fault) -> String {
    fault.explanation.into_owned()
}

/// Whether an item can be carried out, once all before it were. Returns what it makes, or what is wrong with it.
fn check(state: &ViewState, made: &HashSet<Made>, item: &ImportItem) -> Result<Option<Made>, String> {
    let vhost = |name: &Name| match state.vhost(name) {
        None if !made.contains(&Made::Vhost(name.clone())) => Err(format!("vhost '{name}' does not exist")),
        _ => Ok(()),
    };
    let user = |name: &Name| match state.user(name) {
        None if !made.contains(&Made::User(name.clone())) => Err(format!("user '{name}' does not exist")),
        _ => Ok(()),
    };
    let text = |error: crate::model::administration::AdministrationError| error.to_string();
    match item {
        ImportItem::Change(change) => match change {
            Change::PutVhost { name, .. } => {
                check_name("vhost", name).map_err(text)?;
                return Ok(Some(Made::Vhost(name.clone())));
            }
            Change::PutUser { name, user } => {
                check_name("user", name).map_err(text)?;
                if let Password::Hash(bytes) = &user.password {
                    PasswordHash::checked(bytes.clone())
                        .map_err(|error| format!("user '{name}': {error}"))?;
                }
                return Ok(Some(Made::User(name.clone())));
            }
            Change::PutPermissions { vhost: of, user: who, permissions } => {
                vhost(of)?;
                user(who)?;
                for expression in [&permissions.configure, &permissions.write, &permissions.read] {
                    check_expression(expression).map_err(text)?;
                }
            }
            Change::PutTopicPermissions { vhost: of, user: who, permissions, .. } => {
                vhost(of)?;
                user(who)?;
                for expression in [&permissions.write, &permissions.read] {
                    check_expression(expression).map_err(text)?;
                }
            }
            Change::PutPolicy { vhost: of, kind, name, policy } => {
                vhost(of)?;
                check_name("policy", name).map_err(text)?;
                let pattern = Pattern::parse(&policy.pattern);
                policies::check(*kind, policy, pattern)
                    .map_err(|error| format!("policy '{name}': {error}"))?;
            }
            Change::SetVhostLimit { vhost: of, .. }
            | Change::SetTracing { vhost: of, .. }
            | Change::SetVhostProtection { vhost: of, .. } => vhost(of)?,
            Change::SetUserLimit { user: who, .. } => user(who)?,
            Change::SetGlobalParameter { name, .. } => check_name("parameter", name).map_err(text)?,
            Change::DeleteVhost { .. }
            | Change::DeleteUser { .. }
            | Change::ClearPermissions { .. }
            | Change::ClearTopicPermissions { .. }
            | Change::DeletePolicy { .. }
            | Change::SetNodeLimits(_) => return Err("definitions do not hold such a change".to_owned()),
        },
        ImportItem::Exchange { vhost: of, declare } => {
            vhost(of)?;
            check_name("exchange", &declare.name).map_err(text)?;
            kind(&declare.kind).and_then(|kind| kind.check(&declare.arguments)).map_err(explained)?;
            return Ok(Some(Made::Exchange(of.clone(), declare.name.clone())));
        }
        ImportItem::Queue { vhost: of, declare } => {
            vhost(of)?;
            check_name("queue", &declare.name).map_err(text)?;
            queues::check_imported(of, declare).map_err(explained)?;
            return Ok(Some(Made::Queue(of.clone(), declare.name.clone())));
        }
        ImportItem::Binding { vhost: of, to, binding } => {
            vhost(of)?;
            let Binding { source, destination, .. } = binding;
            let exchange = |name: &Name| {
                state.exchange(of, name).is_some() || made.contains(&Made::Exchange(of.clone(), name.clone()))
            };
            let queue = |name: &Name| {
                state.queue(of, name).is_some() || made.contains(&Made::Queue(of.clone(), name.clone()))
            };
            // The predeclared exchanges of a vhost that is made come with it.
            let is_predeclared =
                |name: &Name| name.starts_with("amq.") && made.contains(&Made::Vhost(of.clone()));
            if !exchange(source) && !is_predeclared(source) {
                return Err(format!(
                    "a binding comes from exchange '{source}' in vhost '{of}', which does not exist"
                ));
            }
            let is_there = match to {
                BindingEnds::Queue => queue(destination),
                BindingEnds::Exchange => exchange(destination) || is_predeclared(destination),
            };
            if !is_there {
                return Err(format!(
                    "a binding leads to '{destination}' in vhost '{of}', which does not exist"
                ));
            }
        }
    }
    Ok(None)
}
