//! Who may be given a long answer now: a few at a time over all, fewer to one user, and the others wait a little.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::model::ids::Name;

/// How many are given at a time, and how many to one user, so that one who does not read keeps only itself waiting.
const MOST: usize = 8;
const MOST_PER_USER: usize = 2;

pub(super) struct Turns {
    /// How long a request waits for its turn.
    patience: Duration,
    all: Arc<Semaphore>,
    /// Of users who have or want one.
    users: Mutex<HashMap<Name, Arc<Semaphore>>>,
}

/// Dropped, it is somebody else's.
pub(super) struct Turn {
    _of_user: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// It was nobody's turn for too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoTurn;

impl Turns {
    pub(super) fn new(patience: Duration) -> Turns {
        Turns { patience, all: Arc::new(Semaphore::new(MOST)), users: Mutex::default() }
    }

    /// Waits for a turn; none where that takes too long.
    pub(super) async fn take(&self, user: &Name) -> Result<Turn, NoTurn> {
        let own = {
            let mut users = self.users.lock();
            // Whoever has or wants none is known by nobody else.
            users.retain(|_, turns| Arc::strong_count(turns) > 1);
            let new = || Arc::new(Semaphore::new(MOST_PER_USER));
            Arc::clone(users.entry(user.clone()).or_insert_with(new))
        };
        let both = async {
            let of_user = own.acquire_owned().await.ok()?;
            let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Turn { _of_user: of_user, _of_all: of_all })
        };
        timeout(self.patience, both).await.ok().flatten().ok_or(NoTurn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_user_has_few_turns_and_leaves_some_to_others() {
        let turns = Turns::new(Duration::from_millis(20));
        let mut taken = Vec::new();
        for user in ["a", "b", "c", "d"] {
            for _ in 0..MOST_PER_USER {
                taken.push(turns.take(&user.into()).await.unwrap_or_else(|_| panic!("{user} has a turn")));
            }
            assert!(matches!(turns.take(&user.into()).await, Err(NoTurn)), "{user} has no more");
        }
        assert!(matches!(turns.take(&"e".into()).await, Err(NoTurn)), "all are taken");
        taken.pop();
        let of_e = turns.take(&"e".into()).await;
        assert!(of_e.is_ok());
        drop((taken, of_e));
        assert!(turns.take(&"a".into()).await.is_ok());
        assert_eq!(turns.users.lock().len(), 1, "who has none is forgotten");
    }
}
