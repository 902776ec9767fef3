//! What is Leveret's own: what its command needs and RabbitMQ's API has not.

use super::table::routes;
use crate::manage::{
    channels, connections, log, memory, node, policy_preview, reception, reset, thresholds, users,
};

routes! {
    ["leveret", "node-limits"], "Limits of the whole broker.":
        GET Administrator |call| node::limits(call),
        PUT Administrator |call| node::put_limits(call);
    ["leveret", "channel-max"], "How many channels new connections are offered, until the next start: {\"channel_max\":2047}.":
        GET Administrator |call| node::channel_max(call),
        PUT Administrator |call| node::put_channel_max(call);
    ["leveret", "thresholds"], "When memory and disk block publishers, until the next start: {\"memory_limit_mib\":4096}.":
        GET Administrator |call| thresholds::get(call),
        PUT Administrator |call| thresholds::put(call);
    ["leveret", "alarms"], "Whether memory and disk run short, and whether somebody said so.":
        GET Monitoring |call| thresholds::alarms(call);
    ["leveret", "alarms", alarm], "Says that memory or disk run short; DELETE, that they do not.":
        PUT Administrator |call| thresholds::set_alarm(call, alarm, true),
        DELETE Administrator |call| thresholds::set_alarm(call, alarm, false);

    ["leveret", "memory"], "What of the memory of the process is known by what it is for, in bytes.":
        GET Monitoring |call| memory::get(call);

    ["leveret", "listeners"], "What is listened on, and whether clients come in.":
        GET Monitoring |call| reception::listeners(call);
    ["leveret", "listeners", "suspend"], "Lets no new clients in.":
        POST Administrator |call| reception::suspend(call);
    ["leveret", "listeners", "resume"], "Lets new clients in again.":
        POST Administrator |call| reception::resume(call);
    ["leveret", "app", "stop"], "Closes all connections of clients and lets none in.":
        POST Administrator |call| reception::stop_app(call);
    ["leveret", "app", "start"], "Lets clients in again.":
        POST Administrator |call| reception::start_app(call);
    ["leveret", "reset"], "Deletes everything, once no clients are let in (app/stop).":
        POST Administrator |call| reset::post(call);
    ["leveret", "stop"], "Stops the broker, in order.":
        POST Administrator |call| reception::stop(call);

    ["leveret", "log"], "The last lines of the log as text (lines=50), and those that come (follow=true).":
        GET Administrator |call| log::read(call);
    ["leveret", "log-filter"], "What is logged, until the next start: {\"filter\":\"debug\"}.":
        GET Administrator |call| log::filter(call),
        PUT Administrator |call| log::put_filter(call);

    ["leveret", "policy-preview", vhost, policy], "What would change if a policy was put (its body), or deleted ({\"delete\":true}).":
        POST Policymaker |call| policy_preview::post(call, vhost, policy);
    ["leveret", "authenticate"], "Whether a password is a user's: {\"user\":\"a\",\"password\":\"b\"}.":
        POST Administrator |call| users::authenticate(call);
    ["leveret", "loopback-users"], "Users who may log in from this machine alone; PUT says which these are: {\"users\":[\"guest\"]}.":
        GET Administrator |call| users::loopback_users(call),
        PUT Administrator |call| users::put_loopback_users(call);
    ["leveret", "connections"], "DELETE closes all connections, or those to a vhost (vhost=) or of a user (user=).":
        DELETE Administrator |call| connections::delete_those(call);
    ["leveret", "consumers", channel, tag], "Cancels a consumer, by its channel and its tag.":
        DELETE Administrator |call| channels::cancel_consumer(call, channel, tag);
}
