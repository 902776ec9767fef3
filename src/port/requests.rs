//! Requests: names cleaned, permissions and owners checked, then answered from the view or sent to the owner
//! (semantics section 5 to 8, section 10, 16.2).

use leveret_codec::table::FieldTable;

use super::Port;
use super::direct_reply::{self, PSEUDO_QUEUE};
use crate::catalog::access::Operation;
use crate::catalog::arguments::{string, without_line_ends};
use crate::catalog::view::ViewState;
use crate::catalog::{find_declared, is_bound, is_exchange_declared, kind};
use crate::model::command::{
    BindingEnds, CatalogCommand, CatalogRequest, QueueDeclare, QueueLabel, ShardCommand,
};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{Name, QueueRef};
use crate::model::port::Progress;
use crate::model::request::{Binding, DeclareExchange, DeclareQueue, Reply, Request};
use crate::model::resource::Resource;

impl Port {
    /// Starts a request; a fault is its answer.
    pub(super) fn start(&mut self, request: Request) -> Result<Progress, Fault> {
        match request {
            Request::DeclareExchange(declare) => self.declare_exchange(declare),
            Request::DeleteExchange { name, if_unused } => self.delete_exchange(&name, if_unused),
            Request::BindExchange(binding) => self.bind(BindingEnds::Exchange, binding),
            Request::UnbindExchange(binding) => {
                let binding = self.check_binding(&self.view.read(), BindingEnds::Exchange, binding)?;
                Ok(self.ask_catalog(CatalogRequest::Unbind(BindingEnds::Exchange, binding)))
            }
            Request::DeclareQueue(declare) => self.declare_queue(declare),
            Request::DeleteQueue { name, if_unused, if_empty } => {
                self.delete_queue(&name, if_unused, if_empty)
            }
            Request::BindQueue(binding) => self.bind(BindingEnds::Queue, binding),
            Request::UnbindQueue(binding) => {
                let binding = self.check_binding(&self.view.read(), BindingEnds::Queue, binding)?;
                Ok(self.ask_catalog(CatalogRequest::Unbind(BindingEnds::Queue, binding)))
            }
            Request::PurgeQueue { name } if self.shared.direct_replies.has(&self.vhost, name.as_bytes()) => {
                Ok(Progress::Done(Reply::Count { messages: 0 }))
            }
            Request::PurgeQueue { name } => {
                let (at, label) = self.readable_queue(&name)?;
                Ok(self.ask_shard(at, ShardCommand::Purge { queue: at.queue, label }))
            }
            Request::Consume { queue, consumer, options } => {
                let (at, label) = self.readable_queue(&queue)?;
                let options = Box::new(options);
                let command = ShardCommand::Consume { queue: at.queue, label, consumer, options };
                Ok(self.ask_shard(at, command))
            }
            Request::Cancel { queue, consumer } => {
                Ok(self.ask_shard(queue, ShardCommand::Cancel { queue: queue.queue, consumer }))
            }
            Request::Get { queue, consumer, no_ack } => {
                let (at, label) = self.readable_queue(&queue)?;
                Ok(self.ask_shard(at, ShardCommand::Get { queue: at.queue, label, consumer, no_ack }))
            }
            Request::CloseConnection => Ok(self.close_connection()),
        }
    }

    fn ask_catalog(&mut self, request: CatalogRequest) -> Progress {
        let (connection, vhost) = (self.connection, self.vhost.clone());
        self.outgoing.catalog.push(CatalogCommand::Request { connection, vhost, request });
        Progress::Pending
    }

    fn ask_shard(&mut self, at: QueueRef, command: ShardCommand) -> Progress {
        self.outgoing.push(at.shard, command);
        Progress::Pending
    }

    fn declare_exchange(&mut self, declare: DeclareExchange) -> Result<Progress, Fault> {
        let name = without_line_ends(&declare.name);
        check_not_default(&name)?;
        let resource = Resource::exchange(&name, &self.vhost);
        let state = self.view.read();
        if declare.passive {
            self.check_any(&state, resource)?;
            state.exchange(&self.vhost, &name).ok_or_else(|| Fault::not_found(resource))?;
            drop(state);
            return Ok(self.tell_what_is(Reply::Done));
        }
        let kind = kind(&declare.kind)?;
        self.check(&state, Operation::Configure, resource)?;
        let refused_if_new =
            self.check_way_on(&state, &declare.arguments, "alternate-exchange", resource).err();
        let declare = DeclareExchange { name, ..declare };
        let is_known = !self.view.is_removing()
            && is_exchange_declared(&state, &self.vhost, kind, &declare).unwrap_or(false);
        drop(state);
        if is_known {
            return Ok(self.tell_what_is(Reply::Done));
        }
        Ok(self.ask_catalog(CatalogRequest::DeclareExchange { declare, refused_if_new }))
    }

    /// An answer that says that something exists: at once, or when it is on disk.
    fn tell_what_is(&mut self, reply: Reply) -> Progress {
        if self.view.is_written() {
            return Progress::Done(reply);
        }
        self.outgoing.catalog.push(CatalogCommand::Answer { connection: self.connection, reply });
        Progress::Pending
    }

    /// Any permission will do for a passive declare, whether there is something or not (semantics 7.5).
    fn check_any(&self, state: &ViewState, resource: Resource<'_>) -> Result<(), Fault> {
        let may = |operation| self.check(state, operation, resource);
        may(Operation::Read).or_else(|_| may(Operation::Write)).or_else(|_| may(Operation::Configure))
    }

    /// Whether messages may go from a new queue or exchange to the exchange that this argument names (semantics 5.7,
    /// 7.11).
    fn check_way_on(
        &self,
        state: &ViewState,
        arguments: &FieldTable,
        argument: &str,
        from: Resource<'_>,
    ) -> Result<(), Fault> {
        let Some(to) = arguments.inner().get(argument).and_then(string) else { return Ok(()) };
        self.check(state, Operation::Read, from)?;
        self.check(state, Operation::Write, Resource::exchange(&to, &self.vhost))
    }

    /// One that is there already is answered here; all others, and what is to be refused, are the catalog's.
    fn bind(&mut self, to: BindingEnds, binding: Binding) -> Result<Progress, Fault> {
        let state = self.view.read();
        let binding = self.check_binding(&state, to, binding)?;
        let is_known =
            !self.view.is_removing() && is_bound(&state, self.connection, &self.vhost, to, &binding);
        drop(state);
        if is_known {
            return Ok(self.tell_what_is(Reply::Done));
        }
        Ok(self.ask_catalog(CatalogRequest::Bind(to, binding)))
    }

    fn delete_exchange(&mut self, name: &Name, if_unused: bool) -> Result<Progress, Fault> {
        let name = without_line_ends(name);
        check_not_default(&name)?;
        self.check(&self.view.read(), Operation::Configure, Resource::exchange(&name, &self.vhost))?;
        Ok(self.ask_catalog(CatalogRequest::DeleteExchange { name, if_unused }))
    }

    /// Write on the destination, read on the source, neither of them the default exchange (semantics 6.3), nor an
    /// address of direct reply-to (semantics 6.4).
    fn check_binding(&self, state: &ViewState, to: BindingEnds, binding: Binding) -> Result<Binding, Fault> {
        let source = without_line_ends(&binding.source);
        let destination = without_line_ends(&binding.destination);
        if to == BindingEnds::Queue && direct_reply::is_address(destination.as_bytes()) {
            return Err(Fault::new(
                ReplyCode::AccessRefused,
                "cannot bind or unbind to a volatile (direct reply-to) queue",
            ));
        }
        let end = match to {
            BindingEnds::Queue => Resource::queue(&destination, &self.vhost),
            BindingEnds::Exchange => Resource::exchange(&destination, &self.vhost),
        };
        self.check(state, Operation::Write, end)?;
        if to == BindingEnds::Exchange {
            check_not_default(&destination)?;
        } else if direct_reply::is_address(destination.as_bytes()) {
            let text = "cannot bind or unbind to a volatile (direct reply-to) queue";
            return Err(Fault::new(ReplyCode::AccessRefused, text));
        }
        check_not_default(&source)?;
        self.check(state, Operation::Read, Resource::exchange(&source, &self.vhost))?;
        self.check_topic(state, Operation::Read, source.as_bytes(), binding.routing_key.as_bytes())?;
        Ok(Binding { source, destination, ..binding })
    }

    fn declare_queue(&mut self, declare: DeclareQueue) -> Result<Progress, Fault> {
        let name = without_line_ends(&declare.name);
        if let Some(reply) = self.inspect_direct_reply(&name)? {
            return Ok(Progress::Done(reply));
        }
        if declare.passive {
            return self.inspect_queue(&name);
        }
        let server_named = name.is_empty();
        let name = if server_named { self.make_up_name() } else { name };
        let resource = Resource::queue(&name, &self.vhost);
        let state = self.view.read();
        self.check(&state, Operation::Configure, resource)?;
        let refused_if_new =
            self.check_way_on(&state, &declare.arguments, "x-dead-letter-exchange", resource).err();
        let mut declare = Box::new(QueueDeclare {
            connection: self.connection,
            vhost: self.vhost.clone(),
            server_named,
            request: DeclareQueue { name, ..declare },
            refused_if_new,
        });
        // One that exists, as clients declare it that come back: the catalog is not asked, for it would be by all of them
        // at once. What is to be refused is left to it.
        let known =
            if self.view.is_removing() { None } else { find_declared(&state, &mut declare).unwrap_or(None) };
        drop(state);
        self.had_exclusive |= declare.request.exclusive;
        if let Some(at) = known {
            return Ok(self.ask_shard(at, ShardCommand::Declared { queue: at.queue, declare }));
        }
        self.outgoing.catalog.push(CatalogCommand::DeclareQueue(declare));
        Ok(Progress::Pending)
    }

    /// The pseudo-queue of direct reply-to, or an address of it, is declared to see whether somebody is there
    /// (semantics 15.3).
    fn inspect_direct_reply(&self, name: &Name) -> Result<Option<Reply>, Fault> {
        let is_address = direct_reply::is_address(name.as_bytes());
        if !is_address && &**name != PSEUDO_QUEUE {
            return Ok(None);
        }
        if is_address && !self.shared.direct_replies.has(&self.vhost, name.as_bytes()) {
            return Err(Fault::not_found(Resource::queue(name, &self.vhost)));
        }
        Ok(Some(Reply::QueueDeclared { name: name.clone(), messages: 0, consumers: 1 }))
    }

    /// A passive declare.
    fn inspect_queue(&mut self, name: &Name) -> Result<Progress, Fault> {
        let resource = Resource::queue(name, &self.vhost);
        let state = self.view.read();
        self.check_any(&state, resource)?;
        let (at, label) = self.own_queue(&state, name)?;
        drop(state);
        Ok(self.ask_shard(at, ShardCommand::Inspect { queue: at.queue, label }))
    }

    fn delete_queue(&mut self, name: &Name, if_unused: bool, if_empty: bool) -> Result<Progress, Fault> {
        let name = without_line_ends(name);
        if &*name == PSEUDO_QUEUE {
            return Ok(Progress::Done(Reply::Count { messages: 0 }));
        }
        self.check(&self.view.read(), Operation::Configure, Resource::queue(&name, &self.vhost))?;
        Ok(self.ask_catalog(CatalogRequest::DeleteQueue { name, if_unused, if_empty }))
    }

    /// A queue this connection may read from: 403, 404, 405.
    fn readable_queue(&self, name: &Name) -> Result<(QueueRef, QueueLabel), Fault> {
        let name = without_line_ends(name);
        let state = self.view.read();
        self.check(&state, Operation::Read, Resource::queue(&name, &self.vhost))?;
        self.own_queue(&state, &name)
    }

    /// A queue that exists and is not exclusive to another connection: 404, 405.
    fn own_queue(&self, state: &ViewState, name: &str) -> Result<(QueueRef, QueueLabel), Fault> {
        let queue = state
            .queue(&self.vhost, name)
            .ok_or_else(|| Fault::not_found(Resource::queue(name, &self.vhost)))?;
        queue.check_owner(self.connection)?;
        Ok((queue.at, queue.label.clone()))
    }

    fn close_connection(&mut self) -> Progress {
        self.shared.clients.close(self.connection);
        if !self.had_exclusive {
            return Progress::Done(Reply::Done);
        }
        let command = CatalogCommand::ConnectionClosed { connection: self.connection, reply: true };
        self.outgoing.catalog.push(command);
        Progress::Pending
    }

    /// A name for a queue that was given none (semantics 7.1).
    fn make_up_name(&mut self) -> Name {
        loop {
            let name: Name = self.names.name("amq.gen-");
            if self.view.read().queue(&self.vhost, &name).is_none() {
                return name;
            }
        }
    }
}

/// 403: the default exchange is as it is (semantics 5.2, 5.9).
fn check_not_default(exchange: &str) -> Result<(), Fault> {
    if exchange.is_empty() {
        return Err(Fault::new(ReplyCode::AccessRefused, "operation not permitted on the default exchange"));
    }
    Ok(())
}
