//! What is declared: queues, exchanges, bindings.

use super::table::routes;
use crate::manage::{exchanges, queues};

routes! {
    ["queues"], "All queues.":
        GET Management |call| queues::list(call, None);
    ["queues", "detailed"], "All queues, with all that is known of them.":
        GET Management |call| queues::list(call, None);
    ["queues", vhost], "The queues of a vhost.":
        GET Management |call| queues::list(call, Some(vhost));
    ["queues", vhost, queue], "A queue.":
        GET Management |call| queues::get(call, vhost, queue);

    ["exchanges"], "All exchanges.":
        GET Management |call| exchanges::list(call, None);
    ["exchanges", vhost], "The exchanges of a vhost.":
        GET Management |call| exchanges::list(call, Some(vhost));
    ["exchanges", vhost, exchange], "An exchange.":
        GET Management |call| exchanges::get(call, vhost, exchange);
}
