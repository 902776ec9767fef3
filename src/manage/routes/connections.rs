//! Connections of clients.

use super::table::routes;
use crate::manage::{channels, connections};

routes! {
    ["connections"], "All open connections.":
        GET Management |call| connections::list(call, None);
    ["connections", "username", user], "The connections of a user; DELETE closes them.":
        GET SelfOrMonitoring |call| connections::of_user(call, user),
        DELETE SelfOrAdministrator |call| connections::delete_of_user(call, user);
    ["connections", connection, "channels"], "The channels of a connection.":
        GET Management |call| channels::of_connection(call, connection);
    ["connections", connection, "sessions"], "The sessions of a connection, which are of AMQP 1.0.":
        GET Management |call| channels::sessions(call, connection);
    ["channels"], "All open channels.":
        GET Management |call| channels::list(call, None);
    ["channels", channel], "A channel, by the name of its connection and its number: `CONNECTION (NUMBER)`.":
        GET Management |call| channels::get(call, channel);
    ["vhosts", vhost, "channels"], "The open channels of connections to a vhost.":
        GET Management |call| channels::list(call, Some(vhost));
    ["consumers"], "All consumers.":
        GET Management |call| channels::consumers(call, None);
    ["consumers", vhost], "The consumers of a vhost.":
        GET Management |call| channels::consumers(call, Some(vhost));
    ["connections", connection], "A connection; DELETE closes it, with the header X-Reason as its reason.":
        GET Management |call| connections::get(call, connection),
        DELETE Management |call| connections::delete(call, connection);
    ["vhosts", vhost, "connections"], "The open connections to a vhost.":
        GET Management |call| connections::list(call, Some(vhost));
}
