//! The tasks without which a broker is none: each ends once it is told to, and never before. One that does has lost
//! what it owned to this process; whoever waits for anything else hears of it at once. What the tasks do is not known
//! here.

use std::any::Any;
use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use thiserror::Error;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// What a task is for, in the order in which they are told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Listens, to clients, administrators or signals.
    Service,
    Catalog,
    Shard,
}

/// Why a broker cannot go on. It is a defect of the program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{task} {how}")]
pub struct TaskEnd {
    task: String,
    how: String,
}

#[derive(Debug)]
pub(super) struct Tasks {
    set: JoinSet<()>,
    known: HashMap<Id, (Role, String)>,
    /// Services end once it is cancelled.
    stop: CancellationToken,
    /// Owners of this role, and of those before it, were told to end.
    told: Option<Role>,
}

impl Tasks {
    pub(super) fn new(stop: CancellationToken) -> Tasks {
        Tasks { set: JoinSet::new(), known: HashMap::new(), stop, told: None }
    }

    pub(super) fn spawn(
        &mut self,
        role: Role,
        name: impl Into<String>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.set.spawn(task).id();
        self.known.insert(id, (role, name.into()));
    }

    /// Tasks of this role, and of those before it, may end from now on.
    pub(super) fn may_end(&mut self, role: Role) {
        self.told = Some(role);
    }

    /// Does something, unless a task ends before its time.
    pub(super) async fn watched<T>(&mut self, work: impl Future<Output = T>) -> Result<T, TaskEnd> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = work.as_mut() => return Ok(done),
                Some(ended) = self.set.join_next_with_id() => self.judge(ended)?,
            }
        }
    }

    /// Returns once all of this role have ended.
    pub(super) async fn have_ended(&mut self, role: Role) -> Result<(), TaskEnd> {
        while self.known.values().any(|(other, _)| *other == role)
            && let Some(ended) = self.set.join_next_with_id().await
        {
            self.judge(ended)?;
        }
        Ok(())
    }

    fn judge(&mut self, ended: Result<(Id, ()), JoinError>) -> Result<(), TaskEnd> {
        let (id, how) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => {
                let id = error.id();
                let how = match error.try_into_panic() {
                    Ok(panic) => format!("panicked: {}", panic_text(&*panic)),
                    Err(_) => "was cancelled".to_owned(),
                };
                (id, Some(how))
            }
        };
        let Some((role, task)) = self.known.remove(&id) else { return Ok(()) };
        match how {
            Some(how) => Err(TaskEnd { task, how }),
            None if self.told >= Some(role) => Ok(()),
            None if role == Role::Service && self.stop.is_cancelled() => Ok(()),
            None => Err(TaskEnd { task, how: "ended before it was told to".to_owned() }),
        }
    }
}

/// Does something; a panic in it is an error that says what it said. For what one client owns: with a defect that one
/// client meets, the others go on.
pub(super) async fn contained<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic_text(&*panic).to_owned())), |polled| polled.map(Ok))
    })
    .await
}

/// What a panic said.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn text(outcome: Result<(), TaskEnd>) -> String {
        outcome.map_or_else(|end| end.to_string(), |()| String::new())
    }

    #[tokio::test]
    async fn a_task_that_ends_before_its_time_ends_every_wait() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn(Role::Shard, "the task of shard 1", pending());
        tasks.spawn(Role::Catalog, "the catalog's task", async { panic!("planted {}", 7) });
        assert_eq!(text(tasks.watched(pending()).await), "the catalog's task panicked: planted 7");
        tasks.spawn(Role::Service, "the listener", ready(()));
        assert_eq!(text(tasks.watched(pending()).await), "the listener ended before it was told to");
    }

    #[tokio::test]
    async fn a_panic_can_be_contained() {
        let panics = async {
            tokio::task::yield_now().await;
            panic!("planted {}", 7)
        };
        assert_eq!(contained::<()>(panics).await, Err("planted 7".to_owned()));
        assert_eq!(contained(async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn who_was_told_may_end_and_nobody_may_panic() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        tasks.spawn(Role::Catalog, "told", ready(()));
        tasks.may_end(Role::Catalog);
        assert_eq!(tasks.have_ended(Role::Catalog).await, Ok(()));
        assert_eq!(tasks.have_ended(Role::Shard).await, Ok(()), "there are none");
        assert_eq!(tasks.watched(ready(7)).await, Ok(7));
        tasks.spawn(Role::Service, "the listener", ready(()));
        stop.cancel();
        assert_eq!(tasks.have_ended(Role::Service).await, Ok(()));
        tasks.spawn(Role::Service, "late", async { panic!("planted") });
        assert_eq!(text(tasks.have_ended(Role::Service).await), "late panicked: planted");
        tasks.spawn(Role::Shard, "untold", ready(()));
        assert_eq!(text(tasks.have_ended(Role::Shard).await), "untold ended before it was told to");
    }
}
