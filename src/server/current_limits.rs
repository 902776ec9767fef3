//! The bounds of connections, as those get them that come now: an administrator may change some while the broker runs, and who is
//! connected keeps what was negotiated.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::session::SessionLimits;

#[derive(Debug)]
pub(crate) struct CurrentLimits(RwLock<Arc<SessionLimits>>);

impl CurrentLimits {
    pub(super) fn new(limits: SessionLimits) -> CurrentLimits {
        CurrentLimits(RwLock::new(Arc::new(limits)))
    }

    pub(super) fn get(&self) -> Arc<SessionLimits> {
        Arc::clone(&self.0.read())
    }

    /// Offers so many channels from now on; 0: as many as there are numbers (semantics 1.17).
    pub(super) fn set_channel_max(&self, channel_max: u16) {
        let mut limits = self.0.write();
        *limits = Arc::new(SessionLimits { channel_max, ..SessionLimits::clone(&limits) });
    }
}
