//! Queues as the catalog knows them: declared, compared, deleted by name (semantics section 7, section 8). Where a
//! queue exists, its shard has the last word: it answers declares and deletes, for it alone knows its counts.

use std::sync::Arc;

use leveret_codec::table::{AMQPValue, FieldTable};
use thiserror::Error;

use crate::model::fault::Fault;
use crate::model::ids::{ConnectionId, Name, QueueId, QueueRef, ShardIndex};
use crate::model::request::{DeclareQueue, Reply};
use crate::model::resource::Resource;
use crate::model::settings::{QueueSettings, QueueType};

use super::arguments::{check_argument, check_flag, inequivalent, printed};
use super::encoded_table::EncodedTable;
use super::events::{Fields, arguments, named_queue};
use super::exchanges::reserved;
use super::limits::check_queue_limits;
use super::policies::{self, Applying, Subject};
use super::queue_arguments;
use super::records::{self, Record};
use super::removal::{Cause, Removal, RemovalTarget};
use super::view::{Queue, ViewState};
use super::work::{Answer, Task};
use super::{Catalog, CatalogEffects, no_vhost};
use crate::model::command::{QueueDeclare, QueueLabel, ShardCommand};

/// How many queue ids are written down as taken at a time.
const RESERVE: u64 = 1024;
/// Bytes of a name at the most, as in the protocol.
const MOST_NAME: usize = 255;

/// Why messages cannot be given to a queue of this name.
#[derive(Clone, Debug, Error)]
pub enum AdoptError {
    #[error("there is no vhost '{0}'; give one that exists with --vhost")]
    NoVhost(Name),
    #[error("{} exists already; give a name that no queue has", .0.resource())]
    NameTaken(QueueLabel),
    #[error("'{0}' cannot be a queue's name: give 1 to 255 bytes that do not start with 'amq.'")]
    BadName(Name),
}

impl Catalog {
    /// Declares a queue.
    pub(super) fn declare_queue(
        &mut self,
        state: &mut ViewState,
        mut declare: Box<QueueDeclare>,
        fx: &mut CatalogEffects,
    ) {
        let connection = declare.connection;
        let known = check_name(&declare).and_then(|()| {
            if self.is_leaving(&declare.vhost) {
                return Err(no_vhost(&declare.vhost));
            }
            find_declared(state, &mut declare)
        });
        match known {
            Ok(Some(at)) => {
                fx.to_shards.push((at.shard, ShardCommand::Declared { queue: at.queue, declare }));
                return;
            }
            Ok(None) => {}
            Err(fault) => return fx.reply(connection, Reply::Refused(fault)),
        }
        if declare.request.exclusive && !self.clients.is_open(connection) {
            // It came back from a shard whose queue had gone; nobody would delete a new one.
            return;
        }
        let (of_vhost, name) = (&declare.vhost, &declare.request.name);
        match check_queue_limits(state, of_vhost, name).and_then(|()| check_new(&mut declare)) {
            Ok(settings) => {
                let name = declare.request.name.clone();
                self.create_queue(state, *declare, settings.into(), fx);
                fx.reply(connection, Reply::QueueDeclared { name, messages: 0, consumers: 0 });
            }
            Err(fault) => fx.reply(connection, Reply::Refused(fault)),
        }
    }

    /// Makes a queue that no client asked for, of a name that is free.
    pub(super) fn create_imported_queue(
        &mut self,
        state: &mut ViewState,
        mut declare: QueueDeclare,
        fx: &mut CatalogEffects,
    ) -> Result<(), Fault> {
        check_queue_limits(state, &declare.vhost, &declare.request.name)?;
        let settings = check_new(&mut declare)?;
        self.create_queue(state, declare, settings.into(), fx);
        Ok(())
    }

    fn create_queue(
        &mut self,
        state: &mut ViewState,
        declare: QueueDeclare,
        declared: Arc<QueueSettings>,
        fx: &mut CatalogEffects,
    ) {
        let QueueDeclare { connection, vhost, request, .. } = declare;
        let id = self.next_queue_id(fx);
        let at = self.place(id);
        let label = QueueLabel { vhost, name: request.name };
        let exclusive_to = request.exclusive.then_some(connection);
        let subject = Subject::Queue(declared.queue_type);
        let of_vhost = state.vhost(&label.vhost);
        let policies =
            of_vhost.map(|vhost| vhost.policies.applying(subject, &label.name)).unwrap_or_default();
        of_vhost.into_iter().for_each(|vhost| fx.tell_given_up(vhost));
        let arguments = EncodedTable::new(&request.arguments);
        let settings = policies::effective(&declared, &arguments, &policies.definition);
        if exclusive_to.is_some() {
            self.exclusive.entry(connection).or_default().insert(at.queue);
        }
        let queue = Queue { at, label, exclusive_to, settings, declared, arguments, policies };
        let create = ShardCommand::CreateQueue {
            queue: at.queue,
            label: queue.label.clone(),
            settings: queue.kept_settings(),
        };
        fx.to_shards.push((at.shard, create));
        if queue.is_recorded() {
            fx.ops.push(record(&queue).put());
        }
        fx.event(state, "queue.created", || described(&queue));
        state.add_queue(queue);
    }

    /// Forgets a queue that its shard has deleted; whoever deleted it is answered then.
    pub(super) fn forget_queue(&mut self, queue: QueueId, answer: Option<Answer>, fx: &CatalogEffects) {
        let removal = Removal::new(Some(RemovalTarget::Queue(queue)), Cause::Deleted);
        self.begin(Task::Remove(removal), answer, fx);
    }

    /// Deletes the exclusive queues of a connection that goes (semantics 7.9), which is answered then where it asks.
    pub(super) fn drop_exclusive_queues(
        &mut self,
        connection: ConnectionId,
        reply: bool,
        fx: &CatalogEffects,
    ) {
        let queues = self.exclusive.remove(&connection).unwrap_or_default();
        let removal = Removal::new(None, Cause::Exclusive(queues.into_iter()));
        let answer = reply.then_some(Answer::Connection(connection, Reply::Done));
        self.begin(Task::Remove(removal), answer, fx);
    }

    /// The deletion of a queue that was removed from the records is with the store.
    pub(super) fn remove_tombstone(queue: QueueId, fx: &mut CatalogEffects) {
        fx.ops.push(records::delete_tombstone(queue));
    }

    /// Makes a durable classic queue of an id whose messages the catalog has no queue for.
    ///
    /// # Errors
    ///
    /// Where there is no such vhost, or the name is taken or no queue may have it.
    pub fn adopt_queue(
        &mut self,
        id: QueueId,
        vhost: &Name,
        name: &Name,
        fx: &mut CatalogEffects,
    ) -> Result<(), AdoptError> {
        let view = self.view.clone();
        let mut state = view.write();
        let Some(known) = state.vhost(vhost) else { return Err(AdoptError::NoVhost(vhost.clone())) };
        let label = QueueLabel { vhost: known.name.clone(), name: name.clone() };
        if state.queue(vhost, name).is_some() {
            return Err(AdoptError::NameTaken(label));
        }
        if name.is_empty() || name.len() > MOST_NAME || name.starts_with("amq.") {
            return Err(AdoptError::BadName(name.clone()));
        }
        let settings = Arc::new(QueueSettings { durable: true, ..QueueSettings::default() });
        let queue = Queue {
            at: self.place(id),
            label,
            exclusive_to: None,
            settings: Arc::clone(&settings),
            declared: settings,
            arguments: EncodedTable::new(&FieldTable::default()),
            policies: Applying::default(),
        };
        fx.ops.push(record(&queue).put());
        self.restore_queue(&mut state, queue);
        Ok(())
    }

    /// Adds a recorded queue.
    pub(super) fn restore_queue(&mut self, state: &mut ViewState, queue: Queue) {
        self.restore_next_queue_after(queue.at.queue);
        state.add_queue(queue);
    }

    /// An id that a record shows as taken.
    pub(super) fn restore_next_queue_after(&mut self, taken: QueueId) {
        self.next_queue = self.next_queue.max(taken.0 + 1);
    }

    /// The place of a queue: shards take turns.
    pub(super) fn place(&self, queue: QueueId) -> QueueRef {
        let number = u8::try_from(queue.0 % u64::from(self.shards)).unwrap_or(0);
        QueueRef { queue, shard: ShardIndex::alone(number) }
    }

    /// An id that no queue has had. That it is taken is written down some ids ahead, for the queues themselves may
    /// leave no record.
    pub(super) fn next_queue_id(&mut self, fx: &mut CatalogEffects) -> QueueId {
        let id = self.next_queue;
        self.next_queue += 1;
        if id >= self.reserved_queues {
            self.reserved_queues = id + RESERVE;
            fx.ops.push(Record::NextQueue(QueueId(self.reserved_queues)).put());
        }
        QueueId(id)
    }

    /// Goes on where the ids written down as taken end.
    pub(super) fn restore_next_queue(&mut self, next: QueueId) {
        self.next_queue = self.next_queue.max(next.0);
        self.reserved_queues = self.next_queue;
    }
}

/// Asks the shard of a queue to delete it; a queue that does not exist counts as deleted, with nothing in it
/// (semantics 8.1).
pub(super) fn delete_queue(
    state: &ViewState,
    connection: ConnectionId,
    vhost: &str,
    name: &str,
    fx: &mut CatalogEffects,
    if_unused: bool,
    if_empty: bool,
) -> Result<(), Fault> {
    match state.queue(vhost, name) {
        Some(queue) => {
            queue.check_owner(connection)?;
            let command = ShardCommand::DeleteQueue {
                queue: queue.at.queue,
                if_unused,
                if_empty,
                label: queue.label.clone(),
                connection,
            };
            fx.to_shards.push((queue.at.shard, command));
        }
        None => fx.reply(connection, Reply::Count { messages: 0 }),
    }
    Ok(())
}

/// The queue that a declare means, where it exists and is as the declare says; with the default type of the vhost put into
/// the declare. 403 where no client may make such a name, 405 and 406 where the queue is another's or another one
/// (semantics 7.2 to 7.4, 7.9).
pub(crate) fn find_declared(
    state: &ViewState,
    declare: &mut QueueDeclare,
) -> Result<Option<QueueRef>, Fault> {
    check_name(declare)?;
    let QueueDeclare { connection, vhost: of_vhost, request, .. } = declare;
    let vhost = state.vhost(of_vhost).ok_or_else(|| no_vhost(of_vhost))?;
    put_default_type(request, vhost.metadata.default_queue_type);
    let Some(queue) = state.queue(of_vhost, &request.name) else { return Ok(None) };
    check_equivalent(queue, *connection, request).map(|()| Some(queue.at))
}

/// Whether a client may declare a queue of this name. Not even where it exists: only a passive declare may name it again
/// (semantics 7.2).
fn check_name(declare: &QueueDeclare) -> Result<(), Fault> {
    if declare.request.name.starts_with("amq.") && !declare.server_named {
        return Err(reserved("queue", &declare.request.name));
    }
    Ok(())
}

/// The type that the vhost has for queues whose declare names none (semantics 7.12). Quorum queues are durable and
/// everybody's: what is not is classic.
fn put_default_type(declare: &mut DeclareQueue, default: Option<QueueType>) {
    let Some(default) = default else { return };
    if declare.arguments.inner().contains_key("x-queue-type") {
        return;
    }
    let may_be_any = declare.durable && !declare.exclusive && !declare.auto_delete;
    let made = if may_be_any { default } else { QueueType::Classic };
    declare.arguments.insert("x-queue-type".into(), AMQPValue::LongString(made.as_str().into()));
}

/// Compares a declare with the queue that exists (semantics 7.3, 7.4).
fn check_equivalent(queue: &Queue, connection: ConnectionId, declare: &DeclareQueue) -> Result<(), Fault> {
    let resource = queue.label.resource();
    queue.check_owner(connection)?;
    if declare.exclusive != queue.exclusive_to.is_some() {
        return Err(Fault::locked(resource));
    }
    check_flag("durable", resource, declare.durable, queue.settings.durable)?;
    check_flag("auto_delete", resource, declare.auto_delete, queue.settings.auto_delete)?;
    let arguments = queue.arguments.decode();
    queue_arguments::compared(queue.settings.queue_type)
        .try_for_each(|name| check_argument(name, resource, &declare.arguments, &arguments))?;
    let (received, current) = (named_type(&declare.arguments), named_type(&arguments));
    if received != current {
        return Err(inequivalent("x-queue-type", resource, received, current));
    }
    Ok(())
}

/// The queue type as the arguments name it.
fn named_type(arguments: &FieldTable) -> String {
    arguments.inner().get("x-queue-type").map_or_else(|| "classic".to_owned(), printed)
}

/// Checks the declare of a queue that does not exist yet.
fn check_new(declare: &mut QueueDeclare) -> Result<QueueSettings, Fault> {
    declare.refused_if_new.take().map_or(Ok(()), Err)?;
    let resource = Resource::queue(&declare.request.name, &declare.vhost);
    queue_arguments::settings(&declare.request, resource, declare.server_named)
}

/// The type of a queue that could be imported.
pub(super) fn check_imported(vhost: &Name, request: &DeclareQueue) -> Result<QueueType, Fault> {
    let mut declare = QueueDeclare {
        connection: ConnectionId::default(),
        vhost: vhost.clone(),
        server_named: false,
        request: request.clone(),
        refused_if_new: None,
    };
    check_new(&mut declare).map(|settings| settings.queue_type)
}

/// A new queue as events describe it.
fn described(queue: &Queue) -> Fields {
    let mut fields = named_queue(queue);
    fields.extend([
        ("durable", AMQPValue::Boolean(queue.settings.durable)),
        ("auto_delete", AMQPValue::Boolean(queue.settings.auto_delete)),
        ("exclusive", AMQPValue::Boolean(queue.exclusive_to.is_some())),
        ("arguments", arguments(&queue.arguments.decode())),
    ]);
    fields
}

fn record(queue: &Queue) -> Record {
    Record::Queue {
        vhost: queue.label.vhost.clone(),
        name: queue.label.name.clone(),
        id: queue.at.queue,
        settings: Arc::clone(&queue.declared),
        arguments: queue.arguments.clone(),
    }
}
