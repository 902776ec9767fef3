//! Connections of clients.

use super::table::routes;
use crate::manage::connections;

routes! {
    ["connections"], "All open connections.":
        GET Management |call| connections::list(call, None);
    ["connections", "username", user], "The connections of a user; DELETE closes them.":
        GET SelfOrMonitoring |call| connections::of_user(call, user),
        DELETE SelfOrAdministrator |call| connections::delete_of_user(call, user);
    ["connections", connection], "A connection; DELETE closes it, with the header X-Reason as its reason.":
        GET Management |call| connections::get(call, connection),
        DELETE Management |call| connections::delete(call, connection);
    ["vhosts", vhost, "connections"], "The open connections to a vhost.":
        GET Management |call| connections::list(call, Some(vhost));
}
