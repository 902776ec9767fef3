//! The node: its health, what it can do, definitions of all of it.

use super::table::routes;
use crate::manage::answer::{Answer, Outcome};
use crate::manage::vhosts::check_node;
use crate::manage::{definitions, features, health, import, node, node_info, overview, users};
use crate::model::names::VERSION_OF_RABBITMQ;

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

    ["version"], "The version of RabbitMQ whose API this is.":
        GET Management |_call| version();
    ["extensions"], "Extensions of RabbitMQ's pages, which there are none.":
        GET Management |_call| none();
    ["login"], "Who a form's username and password are.":
        POST Nothing |call| users::login(call),
        DELETE Nothing |_call| done();
    ["auth", "hash_password", password], "The hash of a password, as a user's password_hash.":
        GET Administrator |call| users::hash_password(call, password);
    ["auth", "attempts", node], "Logins by protocol; DELETE counts from 0 again.":
        GET Monitoring |call| node::attempts(call, node),
        DELETE Administrator |call| node::forget_attempts(call, node);
    ["auth", "attempts", node, "source"], "Logins by address, which are not counted.":
        GET Monitoring |_call| of_node(node),
        DELETE Administrator |_call| forgotten(node);

    ["config", "effective"], "What the broker was told and what it made of it, as text.":
        GET Administrator |call| node::effective_config(call);
    ["definitions"], "All that is declared and administered; POST imports it, with strict=true all or nothing.":
        GET Administrator |call| definitions::whole(call),
        POST Administrator |call| import::post(call, None);
    ["definitions", vhost], "The same of a vhost.":
        GET Administrator |call| definitions::of_vhost(call, vhost),
        POST Administrator |call| import::post(call, Some(vhost));
    ["all-configuration"], "As definitions.":
        GET Administrator |call| definitions::whole(call),
        POST Administrator |call| import::post(call, None);

    ["feature-flags"], "RabbitMQ's feature flags, all of which are on.":
        GET Management |_call| features::list();
    ["feature-flags", flag, "enable"], "Turns a feature flag on, which it is.":
        PUT Administrator |call| features::enable(call, flag);
    ["deprecated-features"], "RabbitMQ's deprecated features.":
        GET Management |_call| features::deprecated();
    ["deprecated-features", "used"], "Those that are used, which is not looked at.":
        GET Management |_call| features::deprecated_and_used();

    ["health", "checks", "alarms"], "503 where memory or disk run short.":
        GET Management |call| health::alarms(call, "Resource alarm(s) in effect in the cluster");
    ["health", "checks", "local-alarms"], "The same of this node.":
        GET Management |call| health::alarms(call, "Resource alarm(s) in effect on the node");
    ["health", "checks", "certificate-expiration", within, unit], "Certificates, which there are none.":
        GET Management |_call| health::certificates(within, unit);
    ["health", "checks", "port-listener", port], "503 where nothing listens on a port.":
        GET Management |call| health::port(call, port);
    ["health", "checks", "protocol-listener", protocols], "503 where a protocol is not spoken.":
        GET Management |call| health::protocol(call, protocols);
    ["health", "checks", "virtual-hosts"], "Vhosts are up.":
        GET Management |_call| health::well();
    ["health", "checks", "node-is-quorum-critical"], "Of a cluster.":
        GET Management |_call| health::quorum();
    ["health", "checks", "is-in-service"], "503 where the node lets no clients in.":
        GET Management |call| health::in_service(call);
    ["health", "checks", "ready-to-serve-clients"], "The same.":
        GET Management |call| health::in_service(call);
    ["health", "checks", "below-node-connection-limit"], "503 where no more connections may come.":
        GET Management |call| health::connection_limit(call);
    ["health", "checks", "reached-target-cluster-size"], "Of a cluster.":
        GET Management |_call| health::well();
    ["health", "checks", "metadata-store", "initialized"], "The catalog is there.":
        GET Management |_call| health::well();
    ["health", "checks", "metadata-store", "initialized", "with-data"], "The catalog is there.":
        GET Management |_call| health::well();
    ["health", "checks", "quorum-queues-without-elected-leaders", "all-vhosts"], "Of a cluster.":
        GET Management |_call| health::leaders();
    ["health", "checks", "quorum-queues-without-elected-leaders", "vhost", vhost], "Of a cluster.":
        GET Management |_call| health::leaders();
    ["health", "checks", "quorum-queues-without-elected-leaders", "vhost", vhost, "pattern", pattern], "Of a cluster.":
        GET Management |_call| health::leaders();
    ["healthchecks", "node"], "Deprecated: see the health checks.":
        GET Management |_call| health::well();
    ["healthchecks", "node", node], "Deprecated: see the health checks.":
        GET Management |_call| health::node(node);
    ["aliveness-test", vhost], "Declares a queue, publishes to it and gets the message.":
        GET Management |call| health::aliveness(call, vhost);

    ["rebalance", "queues"], "Queues are where they are on one node.":
        POST Administrator |_call| done();
    ["reset"], "Statistics, of which there are none to be reset.":
        DELETE Administrator |_call| done();
    ["reset", node], "The same of a node.":
        DELETE Administrator |_call| forgotten(node);
    ["shovels"], "Shovels, which there are none.":
        GET Monitoring |_call| none();
    ["shovels", vhost], "Shovels, which there are none.":
        GET Monitoring |_call| none();
    ["federation-links"], "Federation links, which there are none.":
        GET Monitoring |_call| none();
    ["federation-links", vhost], "Federation links, which there are none.":
        GET Monitoring |_call| none();
    ["stream", "connections"], "Connections of the stream protocol, which there are none.":
        GET Management |_call| none();
    ["stream", "connections", vhost], "Connections of the stream protocol, which there are none.":
        GET Management |_call| none();
    ["stream", "consumers"], "Consumers of the stream protocol, which there are none.":
        GET Management |_call| none();
    ["stream", "publishers"], "Publishers of the stream protocol, which there are none.":
        GET Management |_call| none();
}

async fn version() -> Outcome {
    Ok(Answer::Found(VERSION_OF_RABBITMQ.into()))
}

/// An empty list.
async fn none() -> Outcome {
    Ok(Answer::Found(serde_json::Value::Array(Vec::new())))
}

/// An empty list of the one node.
async fn of_node(name: &str) -> Outcome {
    check_node(name)?;
    none().await
}

/// Nothing is to be done.
async fn done() -> Outcome {
    Ok(Answer::Done)
}

/// Nothing is to be done on the one node.
async fn forgotten(name: &str) -> Outcome {
    check_node(name)?;
    done().await
}
