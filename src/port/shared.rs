//! What the ports of one broker share: the view that they read, and what they alone write. All of it changes with the
//! connections, at once and without the catalog; nothing here is declared, and nothing is recorded.

use std::sync::Arc;

use super::direct_reply::DirectReplies;
use super::route_cache::RememberedRoutes;
use crate::catalog::Catalog;
use crate::catalog::clients::Clients;
use crate::catalog::view::View;
use crate::model::holdings::Holdings;

#[derive(Debug)]
pub struct SharedByPorts {
    pub(super) view: Arc<View>,
    pub(super) clients: Arc<Clients>,
    pub(super) direct_replies: DirectReplies,
    pub(super) remembered_routes: RememberedRoutes,
}

impl SharedByPorts {
    /// For the ports of the broker that this is the catalog of.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Arc<SharedByPorts> {
        let (view, clients) = (Arc::clone(catalog.view()), Arc::clone(catalog.clients()));
        let (direct_replies, remembered_routes) = Default::default();
        Arc::new(SharedByPorts { view, clients, direct_replies, remembered_routes })
    }

    /// Who is connected.
    #[must_use]
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// What it holds besides the view.
    pub fn holdings(&self, into: &mut Holdings) {
        let SharedByPorts { view: _, clients, direct_replies, remembered_routes } = self;
        clients.holdings(into);
        direct_replies.holdings(into);
        into.in_use("ports: remembered routes", &remembered_routes.len());
    }
}
