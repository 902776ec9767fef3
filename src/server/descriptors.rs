//! How many files the process may have open, and who may have how many of them: clients must not take those by which
//! the store goes on.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Files of the store, listeners and whatever else the broker needs by itself, with room to spare.
const RESERVE: usize = 64;
/// How many administrators may be connected where there is plenty.
const MOST_ADMINISTRATORS: usize = 256;
/// Where there is not, they get one in this many.
const ADMINISTRATORS_SHARE: usize = 4;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) clients: usize,
    pub(super) administrators: usize,
}

/// Raises the number of files that the process may have open to what it may raise it to.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none() || current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => info!(before = current, now = maximum, "raised the limit of open files"),
        Err(error) => warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// How many files the process may have open.
pub(super) fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Divides `files` open files. `asked`: how many clients the operator wants; `managed`: administrators may connect.
pub(super) fn share(files: usize, asked: Option<u32>, managed: bool) -> io::Result<Shares> {
    let free = files.saturating_sub(RESERVE);
    let administrators = if managed { (free / ADMINISTRATORS_SHARE).min(MOST_ADMINISTRATORS) } else { 0 };
    let most = free - administrators;
    if most == 0 || (managed && administrators == 0) {
        return Err(io::Error::other(format!(
            "the process may have no more than {files} files open, which is too few: raise the limit (ulimit -n, \
             LimitNOFILE=) to {} at least, better to many more",
            RESERVE + 4 * ADMINISTRATORS_SHARE
        )));
    }
    let asked = asked.map_or(most, |asked| usize::try_from(asked).unwrap_or(usize::MAX));
    if asked > most {
        warn!(
            asked,
            most, "--max-connections is more than the limit of open files has room for (see ulimit -n)"
        );
    }
    Ok(Shares { clients: asked.min(most), administrators })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(files: usize, asked: Option<u32>, managed: bool) -> Option<(usize, usize)> {
        share(files, asked, managed).ok().map(|shares| (shares.clients, shares.administrators))
    }

    #[test]
    fn what_clients_get_leaves_enough_for_the_store_and_for_administrators() {
        assert_eq!(shared(256, None, false), Some((192, 0)));
        assert_eq!(shared(256, None, true), Some((144, 48)));
        assert_eq!(shared(1 << 20, None, true), Some(((1 << 20) - 64 - 256, 256)));
        assert_eq!(shared(1024, Some(10), true), Some((10, 240)));
        assert_eq!(shared(1024, Some(5000), false), Some((960, 0)));
        assert_eq!(
            (shared(64, None, false), shared(66, None, true), shared(0, None, false)),
            (None, None, None)
        );
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert!(limit() > RESERVE);
    }
}
