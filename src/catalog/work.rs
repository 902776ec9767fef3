//! Long work in steps. What concerns very many names or bindings (a policy, the end of a vhost, of a connection with its
//! exclusive queues, of a queue with its bindings) holds the lock of the view for a piece of it at a time, and other
//! commands are carried out in between. What is little is done at once. Whoever asked is answered at the end.
//!
//! Budgets count work, not time: see the constants of `removal` and `application`.

use crate::model::administration::Applied;
use crate::model::ids::{ConnectionId, Name, Timestamp};
use crate::model::request::Reply;

use super::application::Application;
use super::import::Import;
use super::removal::Removal;
use super::{Catalog, CatalogEffects};
use crate::model::command::CatalogCommand;

/// A change of an administrator that takes longer than a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeNumber(u64);

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done once the operations are durable.
    Done(Applied),
    /// It is being carried out; the end of it comes with [`CatalogEffects::finished`].
    Begun(ChangeNumber),
}

/// Who hears of the end.
#[derive(Debug)]
pub(super) enum Answer {
    Connection(ConnectionId, Reply),
    Administrator(ChangeNumber, Applied),
}

#[derive(Debug)]
pub(super) enum Task {
    Remove(Removal),
    ApplyPolicies(Application),
    Import(Import),
}

#[derive(Debug)]
pub(super) struct Work {
    pub(super) task: Task,
    answers: Vec<Answer>,
    actor: Option<Name>,
    /// Commands about what is being removed. They are carried out when it has gone.
    parked: Vec<CatalogCommand>,
}

impl Catalog {
    /// Whether there is work for [`Catalog::step`].
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// Does a piece of the work that is next; all works take turns.
    pub fn step(&mut self, now: Timestamp, fx: &mut CatalogEffects) {
        let Some(mut work) = self.work.pop_front() else { return };
        let view = self.view.clone();
        fx.actor.clone_from(&work.actor);
        let changes = fx.ops.len();
        let is_done = match &mut work.task {
            Task::Remove(removal) => {
                let mut state = view.write();
                let is_done = self.remove_some(&mut state, removal, fx);
                if is_done {
                    view.set_removing(self.is_removing());
                }
                if fx.ops.len() > changes {
                    view.set_written(false);
                }
                is_done
            }
            Task::ApplyPolicies(application) => application.go_on(&view, fx),
            Task::Import(import) => self.import_some(now, import, fx),
        };
        fx.publish_events(&view.read(), view.wall_time(now));
        if !is_done {
            self.work.push_back(work);
            return;
        }
        for answer in work.answers {
            match answer {
                Answer::Connection(connection, reply) => fx.reply(connection, reply),
                Answer::Administrator(change, applied) => fx.finished.push((change, applied)),
            }
        }
        for command in work.parked {
            self.handle(now, command, fx);
        }
    }

    /// Begins a work; its first piece is done as soon as the command is.
    pub(super) fn begin(&mut self, task: Task, answer: Option<Answer>, fx: &CatalogEffects) {
        self.begun += 1;
        if matches!(task, Task::Remove(_)) {
            self.view.set_removing(true);
        }
        let (answers, actor) = (answer.into_iter().collect(), fx.actor.clone());
        self.work.push_front(Work { task, answers, actor, parked: Vec::new() });
    }

    /// Begins the policies of a vhost anew, where they are being applied already.
    pub(super) fn begin_again(&mut self, application: Application, fx: &CatalogEffects) {
        let is_same = |work: &Work| matches!(&work.task, Task::ApplyPolicies(known) if known.is_of_same_vhost(&application));
        let known = self.work.iter().position(is_same).and_then(|at| self.work.remove(at));
        self.begin(Task::ApplyPolicies(application), None, fx);
        if let (Some(known), Some(begun)) = (known, self.work.front_mut()) {
            begun.answers = known.answers;
        }
    }

    /// Does the first pieces of what was begun just now.
    pub(super) fn do_first_pieces(&mut self, now: Timestamp, fx: &mut CatalogEffects) {
        for _ in 0..std::mem::take(&mut self.begun) {
            self.step(now, fx);
        }
    }

    /// Does the first piece of what a change has begun, if it has.
    pub(super) fn do_first_piece(
        &mut self,
        now: Timestamp,
        applied: Applied,
        fx: &mut CatalogEffects,
    ) -> Outcome {
        let Some(work) = self.work.front_mut().filter(|_| self.begun > 0) else {
            return Outcome::Done(applied);
        };
        self.changes += 1;
        let change = ChangeNumber(self.changes);
        work.answers.push(Answer::Administrator(change, applied));
        self.do_first_pieces(now, fx);
        match fx.finished.pop_if(|(finished, _)| *finished == change) {
            Some((_, applied)) => Outcome::Done(applied),
            None => Outcome::Begun(change),
        }
    }

    /// Has a command wait if what it is about is being removed. Returns it if not.
    pub(super) fn park(&mut self, command: CatalogCommand) -> Option<CatalogCommand> {
        let state = self.view.read();
        let removes = |work: &&mut Work| matches!(&work.task, Task::Remove(removal) if removal.is_about(&state, &command));
        match self.work.iter_mut().find(removes) {
            Some(work) => {
                work.parked.push(command);
                None
            }
            None => Some(command),
        }
    }

    /// Whether something waits to be removed, or to be removed further.
    fn is_removing(&self) -> bool {
        self.work.iter().any(|work| matches!(work.task, Task::Remove(_)))
    }

    /// Whether a vhost is being deleted.
    pub(super) fn is_leaving(&self, vhost: &str) -> bool {
        self.work.iter().any(|work| matches!(&work.task, Task::Remove(removal) if removal.is_of_vhost(vhost)))
    }
}
