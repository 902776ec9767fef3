//! The node: what is Leveret's own.

use super::table::routes;
use crate::manage::answer::{Answer, Outcome};
use crate::manage::{node, node_info, overview};

routes! {
    ["overview"], "What the broker is, and what it has counted in all.":
        GET Management |call| overview::get(call);
    ["nodes"], "The node, which is the only one.":
        GET Monitoring |call| node_info::list(call);
    ["nodes", node], "The node.":
        GET Monitoring |call| node_info::get(call, node);
    ["nodes", node, "memory"], "The memory of the node.":
        GET Monitoring |call| node_info::memory(call, node);
    ["nodes", node, "memory", "relative"], "The memory of the node, in percent.":
        GET Monitoring |_call| node_info::relative_memory(node);

    ["auth", "attempts", node, "source"], "Logins by address, which are not counted.":
        GET Monitoring |_call| none(),
        DELETE Monitoring |_call| done();

    ["leveret", "node-limits"], "Limits of the whole broker. Leveret's own.":
        GET Administrator |call| node::limits(call),
        PUT Administrator |call| node::put_limits(call);
    ["leveret", "thresholds"], "When memory and disk block publishers, until the next start. Leveret's own.":
        GET Administrator |call| node::thresholds(call),
        PUT Administrator |call| node::put_thresholds(call);
}

/// An empty list.
async fn none() -> Outcome {
    Ok(Answer::Found(serde_json::Value::Array(Vec::new())))
}

/// Nothing is to be done.
async fn done() -> Outcome {
    Ok(Answer::Done)
}
