//! Who is connected: the user and vhost of every open connection, how many channels it has, and whether there are
//! enough of them (semantics 1.20, 4.2, section 18). Ports write it, the catalog reads it to know whose connections
//! a deletion ends.

use parking_lot::Mutex;

use super::gone_connections::{Churn, GoneConnections, GoneCounts};
use super::view::ViewState;
use crate::model::administration::bound;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, Name, Timestamp};
use crate::model::maps::Map;
use crate::model::names::NODE;
use crate::model::peer::Introduction;
use crate::model::question::ConnectionTotals;
use crate::model::sparse::ShrinkIfSparse;

/// The open connections.
#[derive(Debug, Default)]
pub struct Clients(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    connections: Map<ConnectionId, Client>,
    /// How many connections a vhost has.
    vhosts: Map<Name, u64>,
    users: Map<Name, Usage>,
    channels: u64,
    gone: GoneConnections,
    churn: Churn,
}

/// An open connection, as an administrator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// `CLIENT -> SERVER`, each an address and a port.
    pub name: Name,
    pub user: Name,
    pub vhost: Name,
    /// How many channels it has open.
    pub channels: u64,
    pub connected_at: Timestamp,
    /// How it logged in.
    pub mechanism: Name,
    pub introduction: Introduction,
    /// What it had counted when it began to close.
    pub totals: Option<Box<ConnectionTotals>>,
}

#[derive(Debug, Default)]
struct Usage {
    connections: u64,
    channels: u64,
}

impl Clients {
    pub(crate) fn holdings(&self, into: &mut Holdings) {
        let state = self.0.lock();
        let State { connections, vhosts, users, channels, gone, churn: _ } = &*state;
        gone.holdings(into);
        into.in_use("clients: connections", connections);
        into.in_use("clients: by vhost", vhosts);
        into.in_use("clients: by user", users);
        into.in_use("clients: channels", &usize::try_from(*channels).unwrap_or(usize::MAX));
    }

    /// A connection opens a vhost. 530 where there are connections enough.
    pub(crate) fn open(
        &self,
        connection: ConnectionId,
        client: Client,
        view: &ViewState,
    ) -> Result<(), Fault> {
        let mut state = self.0.lock();
        let (user, vhost) = (&client.user, &client.vhost);
        let refused = |text| Err(Fault::new(ReplyCode::NotAllowed, text));
        if let Some(most) = view.node_limits().connections
            && state.connections.len() as u64 >= most
        {
            return refused(format!("connection refused: node connection limit ({most}) is reached"));
        }
        if let Some(most) = view.vhost(vhost).and_then(|vhost| bound(vhost.limits.max_connections))
            && state.vhosts.get(vhost).copied().unwrap_or(0) >= most
        {
            return refused(format!(
                "access to vhost '{vhost}' refused for user '{user}': connection limit ({most}) is reached"
            ));
        }
        if let Some(most) = view.user(user).and_then(|user| bound(user.limits.max_connections))
            && state.users.get(user).map_or(0, |usage| usage.connections) >= most
        {
            return refused(format!(
                "connection refused for user '{user}': user connection limit ({most}) is reached"
            ));
        }
        *state.vhosts.entry(vhost.clone()).or_default() += 1;
        state.users.entry(user.clone()).or_default().connections += 1;
        state.connections.insert(connection, client);
        state.churn.connections_opened += 1;
        Ok(())
    }

    /// The connection is gone with all its channels. One that was never open is passed over.
    pub(crate) fn close(&self, connection: ConnectionId) {
        let mut state = self.0.lock();
        let Some(client) = state.connections.remove(&connection) else { return };
        state.connections.shrink_if_sparse();
        state.channels = state.channels.saturating_sub(client.channels);
        state.churn.connections_closed += 1;
        state.churn.channels_closed += client.channels;
        state.gone.add(connection, &client.vhost, client.totals.map(|totals| *totals).unwrap_or_default());
        if let Some(connections) = state.vhosts.get_mut(&client.vhost) {
            *connections -= 1;
            if *connections == 0 {
                state.vhosts.remove(&client.vhost);
            }
        }
        if let Some(usage) = state.users.get_mut(&client.user) {
            usage.connections -= 1;
            usage.channels = usage.channels.saturating_sub(client.channels);
            if usage.connections == 0 {
                state.users.remove(&client.user);
            }
        }
    }

    /// A connection opens a channel. 530 where there are channels enough.
    pub(crate) fn open_channel(&self, connection: ConnectionId, view: &ViewState) -> Result<(), Fault> {
        let mut state = self.0.lock();
        let State { connections, users, channels, churn, .. } = &mut *state;
        let Some(client) = connections.get_mut(&connection) else { return Ok(()) };
        let user = &client.user;
        let refused = |text| Err(Fault::new(ReplyCode::NotAllowed, text));
        if let Some(most) = view.node_limits().channels
            && *channels >= most
        {
            return refused(format!(
                "number of channels opened on node '{NODE}' has reached the maximum allowed limit of {most}"
            ));
        }
        let usage = users.entry(user.clone()).or_default();
        if let Some(most) = view.user(user).and_then(|user| bound(user.limits.max_channels))
            && usage.channels >= most
        {
            return refused(format!(
                "number of channels opened for user '{user}' has reached the maximum allowed user limit of {most}"
            ));
        }
        usage.channels += 1;
        client.channels += 1;
        *channels += 1;
        churn.channels_opened += 1;
        Ok(())
    }

    pub(crate) fn close_channel(&self, connection: ConnectionId) {
        let mut state = self.0.lock();
        let State { connections, users, channels, churn, .. } = &mut *state;
        let Some(client) = connections.get_mut(&connection).filter(|client| client.channels > 0) else {
            return;
        };
        client.channels -= 1;
        churn.channels_closed += 1;
        *channels = channels.saturating_sub(1);
        if let Some(usage) = users.get_mut(&client.user) {
            usage.channels = usage.channels.saturating_sub(1);
        }
    }

    /// What a connection has counted that is about to close.
    pub(crate) fn counted(&self, connection: ConnectionId, totals: ConnectionTotals) {
        if let Some(client) = self.0.lock().connections.get_mut(&connection) {
            client.totals = Some(Box::new(totals));
        }
    }

    /// Somebody has logged in, or was refused.
    pub(crate) fn note_login(&self, succeeded: bool) {
        let churn = &mut self.0.lock().churn;
        if succeeded {
            churn.logins_succeeded += 1;
        } else {
            churn.logins_failed += 1;
        }
    }

    #[must_use]
    pub fn churn(&self) -> Churn {
        self.0.lock().churn
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.lock().connections.len() as u64
    }

    /// How many channels are open.
    #[must_use]
    pub fn channels(&self) -> u64 {
        self.0.lock().channels
    }

    /// Begins a sum over all connections, those included that are gone: the others are to be asked, and are given with their
    /// vhosts. What they have counted that do not answer any more is told by [`Clients::end_sum`]. One sum is made at a time.
    #[must_use]
    pub fn begin_sum(&self, view: &ViewState) -> (GoneCounts, Vec<(ConnectionId, Name)>) {
        let mut state = self.0.lock();
        let gone = state.gone.begin(view);
        let open = state.connections.iter().map(|(&id, client)| (id, client.vhost.clone()));
        (gone, open.collect())
    }

    /// What connections have counted that have ended since the sum was begun.
    #[must_use]
    pub fn end_sum(&self) -> Map<ConnectionId, ConnectionTotals> {
        self.0.lock().gone.end()
    }

    /// Whether the connection is open; it is not from the moment on in which it begins to close.
    pub(crate) fn is_open(&self, connection: ConnectionId) -> bool {
        self.0.lock().connections.contains_key(&connection)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().connections.len()
    }

    /// An open connection.
    #[must_use]
    pub fn get(&self, connection: ConnectionId) -> Option<Client> {
        self.0.lock().connections.get(&connection).cloned()
    }

    /// The user of a connection, while it is open.
    pub(crate) fn user(&self, connection: ConnectionId) -> Option<Name> {
        self.0.lock().connections.get(&connection).map(|client| client.user.clone())
    }

    /// The connections to a vhost, in order of their ids.
    pub(crate) fn of_vhost(&self, vhost: &str) -> Vec<ConnectionId> {
        self.those(|client| &*client.vhost == vhost)
    }

    /// The connections of a user, in order of their ids.
    #[must_use]
    pub fn of_user(&self, user: &str) -> Vec<ConnectionId> {
        self.those(|client| &*client.user == user)
    }

    /// The open connections that are wanted, in order of their ids.
    pub fn those(&self, wanted: impl Fn(&Client) -> bool) -> Vec<ConnectionId> {
        let state = self.0.lock();
        let wanted = state.connections.iter().filter(|(_, client)| wanted(client));
        let mut found: Vec<_> = wanted.map(|(&connection, _)| connection).collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_found_by_user_and_by_vhost_until_they_close() {
        let (clients, view) = (Clients::default(), ViewState::default());
        for (number, user, vhost) in [(3, "a", "/"), (1, "b", "/"), (2, "a", "other")] {
            let (name, user, vhost) = ("".into(), user.into(), vhost.into());
            let (mechanism, introduction, totals) = Default::default();
            let connected_at = Timestamp(0);
            let client =
                Client { name, user, vhost, channels: 0, connected_at, mechanism, introduction, totals };
            clients.open(ConnectionId(number), client, &view).unwrap();
            clients.open_channel(ConnectionId(number), &view).unwrap();
        }
        assert_eq!(clients.of_vhost("/"), [ConnectionId(1), ConnectionId(3)]);
        assert_eq!(clients.of_user("a"), [ConnectionId(2), ConnectionId(3)]);
        clients.close_channel(ConnectionId(1));
        for number in [3, 1, 2, 2] {
            clients.close(ConnectionId(number));
        }
        let state = clients.0.lock();
        assert!(state.connections.is_empty() && state.vhosts.is_empty() && state.users.is_empty());
        assert_eq!(state.channels, 0);
    }
}
