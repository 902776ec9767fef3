//! The handle by which code outside of the broker's tasks administers it: an HTTP interface, a test, an embedding
//! program. It asks the catalog's task and waits until what was changed is durable; reading goes by the view.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::mailboxes::Mailboxes;
use super::owners::CatalogInput;
use super::resource_monitor::Thresholds;
use crate::catalog::clients::Clients;
use crate::catalog::view::View;
use crate::model::administration::{AdministrationError, Applied, Change};
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::ConnectionId;

/// A broker's administration. Cheap to clone.
#[derive(Clone)]
pub struct Administrator(Arc<Handles>);

/// What it reaches.
struct Handles {
    mailboxes: Arc<Mailboxes>,
    view: Arc<View>,
    clients: Arc<Clients>,
    thresholds: Arc<Thresholds>,
}

impl Administrator {
    pub(super) fn new(
        mailboxes: Arc<Mailboxes>,
        view: Arc<View>,
        clients: Arc<Clients>,
        thresholds: Arc<Thresholds>,
    ) -> Administrator {
        Administrator(Arc::new(Handles { mailboxes, view, clients, thresholds }))
    }

    /// Makes a change; returns once it is durable.
    pub async fn apply(&self, change: Change) -> Result<Applied, AdministrationError> {
        let (answer, answered) = oneshot::channel();
        self.0.mailboxes.catalog().post(CatalogInput::Administer { change: Box::new(change), answer });
        answered.await.unwrap_or(Err(AdministrationError::Stopping))
    }

    /// Closes a connection with 320 and this reason (semantics 16.8). One that has gone already is passed over.
    pub fn close_connection(&self, connection: ConnectionId, reason: String) {
        let fault = Fault::new(ReplyCode::ConnectionForced, reason);
        let close = SessionEvent::Close(fault);
        self.0.mailboxes.connections().with(connection, |inbox| inbox.mailbox.post(close));
    }

    /// What there is, for reading.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.0.view
    }

    /// Who is connected.
    #[must_use]
    pub fn clients(&self) -> &Arc<Clients> {
        &self.0.clients
    }

    /// When publishers are blocked, to read and to change.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.0.thresholds
    }
}
