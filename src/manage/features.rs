//! Feature flags and deprecated features, by RabbitMQ's names. Clients look here for what they may use (`stream_queue`, for one): what
//! is on in RabbitMQ is said to be on, for whoever asks means a version, and what a queue type cannot do is told by its declaration.

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;

/// Name, what it is, and what provides it, of all that RabbitMQ 4.3 has.
#[rustfmt::skip]
const FLAGS: &[(&str, &str, &str)] = &[
    ("classic_mirrored_queue_version", "Support setting version for classic mirrored queues", "rabbit"),
    ("classic_queue_type_delivery_support", "Bug fix for classic queue deliveries using mixed versions", "rabbit"),
    ("detailed_queues_endpoint", "Add a detailed queues HTTP API endpoint. Reduce number of metrics in the default endpoint.", "rabbitmq_management"),
    ("direct_exchange_routing_v2", "v2 direct exchange routing implementation", "rabbit"),
    ("drop_unroutable_metric", "Count unroutable publishes to be dropped in stats", "rabbitmq_management_agent"),
    ("empty_basic_get_metric", "Count AMQP `basic.get` on empty queues in stats", "rabbitmq_management_agent"),
    ("feature_flags_v2", "Feature flags subsystem V2", "rabbit"),
    ("implicit_default_bindings", "Default bindings are now implicit, instead of being stored in the database", "rabbit"),
    ("khepri_db", "New Raft-based metadata store.", "rabbit"),
    ("listener_records_in_ets", "Store listener records in ETS instead of Mnesia", "rabbit"),
    ("maintenance_mode_status", "Maintenance mode status", "rabbit"),
    ("message_containers", "Message containers.", "rabbit"),
    ("message_containers_deaths_v2", "Bug fix for dead letter cycle detection", "rabbit"),
    ("quorum_queue", "Support queues of type `quorum`", "rabbit"),
    ("quorum_queue_non_voters", "Allows new quorum queue members to be added as non voters initially.", "rabbit"),
    ("rabbit_exchange_type_local_random", "Local random exchange", "rabbit"),
    ("rabbitmq_4.0.0", "Allows rolling upgrades from 3.13.x to 4.0.x", "rabbit"),
    ("rabbitmq_4.1.0", "Allows rolling upgrades to 4.1.x", "rabbit"),
    ("rabbitmq_4.2.0", "Allows rolling upgrades to 4.2.x", "rabbit"),
    ("rabbitmq_4.3.0", "Allows rolling upgrades to 4.3.x", "rabbit"),
    ("restart_streams", "Support for restarting streams with optional preferred next leader argument.Used to implement stream leader rebalancing", "rabbit"),
    ("stream_filtering", "Support for stream filtering.", "rabbit"),
    ("stream_queue", "Support queues of type `stream`", "rabbit"),
    ("stream_sac_coordinator_unblock_group", "Bug fix to unblock a group of consumers in a super stream partition", "rabbit"),
    ("stream_single_active_consumer", "Single active consumer for streams", "rabbit"),
    ("stream_update_config_command", "A new internal command that is used to update streams as part of a policy.", "rabbit"),
    ("tie_binding_to_dest_with_keep_while_cond", "Use keep_while condition to tie a binding record lifetime to its destination record in Khepri", "rabbit"),
    ("topic_binding_projection_v4", "Enable the topic binding Khepri projection v4", "rabbit"),
    ("topic_binding_projection_v5", "Enable the topic binding Khepri projection v5", "rabbit"),
    ("track_qq_members_uids", "Track queue members UIDs in the metadata store", "rabbit"),
    ("tracking_records_in_ets", "Store tracking records in ETS instead of Mnesia", "rabbit"),
    ("user_limits", "Configure connection and channel limits for a user", "rabbit"),
    ("virtual_host_metadata", "Virtual host metadata (description, tags, etc)", "rabbit"),
];

/// Name, state, phase, page and provider, of all that RabbitMQ 4.3 has.
#[rustfmt::skip]
const DEPRECATED: &[(&str, &str, &str, &str, &str)] = &[
    ("queue_master_locator", "denied", "denied_by_default", "", "rabbit"),
    ("global_qos", "denied", "denied_by_default", "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-global-qos", "rabbit"),
    ("amqp_filter_set_bug", "denied", "denied_by_default", "https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-messaging-v1.0-os.html#type-filter-set", "rabbit"),
    ("amqp_address_v1", "denied", "denied_by_default", "https://www.rabbitmq.com/docs/amqp#addresses", "rabbit"),
    ("management_metrics_collection", "permitted", "permitted_by_default", "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#disable-metrics-delivery-via-the-management-api--ui", "rabbitmq_management_agent"),
    ("transient_nonexcl_queues", "permitted", "permitted_by_default", "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-transient-non-exclusive-queues", "rabbit"),
    ("classic_queue_mirroring", "denied", "removed", "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-classic-queue-mirroring", "rabbit"),
    ("ram_node_type", "denied", "removed", "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-ram-nodes", "rabbit"),
];

pub(super) async fn list() -> Outcome {
    let flags = FLAGS.iter().map(|(name, about, provider)| {
        json!({
            "name": name, "desc": about, "doc_url": "", "state": "enabled", "stability": "required",
            "require_level": "hard", "experiment_level": "supported", "callbacks": ["enable"],
            "provided_by": provider,
        })
    });
    Ok(Answer::Found(flags.collect()))
}

/// All are on already.
pub(super) async fn enable(call: &mut Call<'_>, name: &str) -> Outcome {
    call.fields().await?;
    if FLAGS.iter().any(|(known, ..)| *known == name) {
        return Ok(Answer::Done);
    }
    Err(Refusal::bad("unsupported"))
}

pub(super) async fn deprecated() -> Outcome {
    let features = DEPRECATED.iter().map(|(name, state, phase, page, provider)| {
        json!({
            "name": name, "state": state, "desc": "", "deprecation_phase": phase, "doc_url": page,
            "provided_by": provider,
        })
    });
    Ok(Answer::Found(features.collect()))
}

/// None is asked of how it is used.
pub(super) async fn deprecated_and_used() -> Outcome {
    Ok(Answer::Found(Value::Array(Vec::new())))
}
