//! What is declared: queues, exchanges, bindings; and the messages in queues.

use super::table::routes;
use crate::manage::bindings::{self, EXCHANGE, Path, QUEUE};
use crate::manage::{exchange_changes, exchanges, messages, queue_changes, queues};

routes! {
    ["queues"], "All queues.":
        GET Management |call| queues::list(call, None);
    ["queues", "detailed"], "All queues, with all that is known of them.":
        GET Management |call| queues::list(call, None);
    ["queues", vhost], "The queues of a vhost.":
        GET Management |call| queues::list(call, Some(vhost));
    ["queues", vhost, queue], "A queue: {\"durable\":true,\"auto_delete\":false,\"arguments\":{}}. DELETE takes if-empty=true and if-unused=true.":
        GET Management |call| queues::get(call, vhost, queue),
        PUT Management |call| queue_changes::put(call, vhost, queue),
        DELETE Management |call| queue_changes::delete(call, vhost, queue);
    ["queues", vhost, queue, "bindings"], "The bindings to a queue.":
        GET Management |call| bindings::of_destination(call, vhost, QUEUE, queue);
    ["queues", vhost, queue, "contents"], "The messages of a queue; DELETE purges it.":
        DELETE Management |call| queue_changes::purge(call, vhost, queue);
    ["queues", vhost, queue, "actions"], "Actions of mirrored queues, which there are none.":
        POST Administrator |call| queue_changes::act(call, vhost, queue);
    ["queues", vhost, queue, "get"], "Gets messages: {\"count\":5,\"ackmode\":\"ack_requeue_true\",\"encoding\":\"auto\",\"truncate\":50000}.":
        POST Management |call| messages::get(call, vhost, queue);

    ["queues", "quorum", vhost, queue, "status"], "The one member of a quorum queue.":
        GET Management |call| queues::quorum_status(call, vhost, queue);
    ["queues", "quorum", vhost, queue, "replicas", "add"], "Replicas, of which each queue has one.":
        POST Administrator |call| queue_changes::replicate(call, vhost, queue);
    ["queues", "quorum", vhost, queue, "replicas", "delete"], "Replicas, of which each queue has one.":
        DELETE Administrator |call| queue_changes::replicate(call, vhost, queue);
    ["queues", "quorum", "replicas", "on", node, "grow"], "Replicas, of which each queue has one.":
        POST Administrator |_call| queue_changes::grow(node);
    ["queues", "quorum", "replicas", "on", node, "shrink"], "Replicas, of which each queue has one.":
        DELETE Administrator |_call| queue_changes::grow(node);

    ["exchanges"], "All exchanges.":
        GET Management |call| exchanges::list(call, None);
    ["exchanges", vhost], "The exchanges of a vhost.":
        GET Management |call| exchanges::list(call, Some(vhost));
    ["exchanges", vhost, exchange], "An exchange: {\"type\":\"topic\",\"durable\":true,\"auto_delete\":false,\"internal\":false,\"arguments\":{}}. DELETE takes if-unused=true.":
        GET Management |call| exchanges::get(call, vhost, exchange),
        PUT Management |call| exchange_changes::put(call, vhost, exchange),
        DELETE Management |call| exchange_changes::delete(call, vhost, exchange);
    ["exchanges", vhost, exchange, "bindings", "source"], "The bindings from an exchange.":
        GET Management |call| bindings::of_source(call, vhost, exchange);
    ["exchanges", vhost, exchange, "bindings", "destination"], "The bindings to an exchange.":
        GET Management |call| bindings::of_destination(call, vhost, EXCHANGE, exchange);
    ["exchanges", vhost, exchange, "publish"], "Publishes: {\"properties\":{},\"routing_key\":\"k\",\"payload\":\"text\",\"payload_encoding\":\"string\"}.":
        POST Management |call| messages::publish(call, vhost, exchange);

    ["bindings"], "All bindings.":
        GET Management |call| bindings::list(call, None);
    ["bindings", vhost], "The bindings of a vhost.":
        GET Management |call| bindings::list(call, Some(vhost));
    ["bindings", vhost, "e", source, kind, destination], "The bindings from an exchange to a queue (q) or an exchange (e); POST makes one: {\"routing_key\":\"k\",\"arguments\":{}}.":
        GET Management |call| bindings::between(call, vhost, source, kind, destination),
        POST Management |call| bindings::post(call, vhost, source, kind, destination);
    ["bindings", vhost, "e", source, kind, destination, key], "A binding, by its properties key.":
        GET Management |call| bindings::get(call, Path { vhost, source, kind, name: destination, key }),
        DELETE Management |call| bindings::delete(call, Path { vhost, source, kind, name: destination, key });
}
