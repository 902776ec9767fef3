//! The node: what is Leveret's own.

use super::table::routes;
use crate::manage::answer::{Answer, Outcome};
use crate::manage::node;

routes! {
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
