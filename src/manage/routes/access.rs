//! Vhosts, and who may do what in them: users, permissions, policies, limits.

use serde_json::Value;

use super::table::routes;
use crate::manage::answer::Answer;
use crate::manage::{limits, parameters, permissions, policies, topic_permissions, users, vhosts};
use crate::model::administration::PolicyKind::{Operator, Regular};

routes! {
    ["whoami"], "Who asks.":
        GET Management |call| users::whoami(call);

    ["vhosts"], "All vhosts.":
        GET Management |call| vhosts::list(call);
    ["vhosts", vhost], "A vhost: {\"description\":\"\",\"tags\":[],\"default_queue_type\":\"quorum\",\"tracing\":false}.":
        GET Administrator |call| vhosts::get(call, vhost),
        PUT Administrator |call| vhosts::put(call, vhost),
        DELETE Administrator |call| vhosts::delete(call, vhost);
    ["vhosts", vhost, "deletion", "protection"], "Has a vhost refuse to be deleted; DELETE has it obey again.":
        POST Administrator |call| vhosts::protect(call, vhost, true),
        DELETE Administrator |call| vhosts::protect(call, vhost, false);
    ["vhosts", vhost, "start", node], "Starts a vhost, which is up.":
        POST Administrator |call| vhosts::start(call, vhost, node);
    ["vhosts", vhost, "permissions"], "Who has permissions in a vhost.":
        GET Administrator |call| permissions::of_vhost(call, vhost);
    ["vhosts", vhost, "topic-permissions"], "Who has topic permissions in a vhost.":
        GET Administrator |call| topic_permissions::of_vhost(call, vhost);

    ["users"], "All users.":
        GET Administrator |call| users::list(call);
    ["users", "without-permissions"], "Users who have permissions in no vhost.":
        GET Administrator |call| users::list_without_permissions(call);
    ["users", "bulk-delete"], "Deletes users: {\"users\":[\"a\",\"b\"]}.":
        POST Administrator |call| users::bulk_delete(call);
    ["users", user], "A user: {\"password\":\"\",\"tags\":\"administrator\"}, or with a password_hash.":
        GET Administrator |call| users::get(call, user),
        PUT Administrator |call| users::put(call, user),
        DELETE Administrator |call| users::delete(call, user);
    ["users", user, "queues"], "Queues by the user who declared them, which is not kept.":
        GET Management |_call| std::future::ready(Ok(Answer::Found(Value::Array(Vec::new()))));
    ["users", user, "permissions"], "The permissions of a user.":
        GET Administrator |call| permissions::of_user(call, user);
    ["users", user, "topic-permissions"], "The topic permissions of a user.":
        GET Administrator |call| topic_permissions::of_user(call, user);

    ["permissions"], "The permissions of all users.":
        GET Administrator |call| permissions::list(call);
    ["permissions", vhost, user], "What a user may do in a vhost: {\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}.":
        GET Administrator |call| permissions::get(call, vhost, user),
        PUT Administrator |call| permissions::put(call, vhost, user),
        DELETE Administrator |call| permissions::delete(call, vhost, user);

    ["topic-permissions"], "The topic permissions of all users.":
        GET Administrator |call| topic_permissions::list(call);
    ["topic-permissions", vhost, user], "The topics of an exchange: {\"exchange\":\"amq.topic\",\"write\":\".*\",\"read\":\".*\"}.":
        GET Administrator |call| topic_permissions::get(call, vhost, user),
        PUT Administrator |call| topic_permissions::put(call, vhost, user),
        DELETE Administrator |call| topic_permissions::delete(call, vhost, user, None);
    ["topic-permissions", vhost, user, exchange], "A user's topic permissions of one exchange.":
        DELETE Administrator |call| topic_permissions::delete(call, vhost, user, Some(exchange));

    ["policies"], "All policies.":
        GET Management |call| policies::list(call, Regular, None);
    ["policies", vhost], "The policies of a vhost.":
        GET Management |call| policies::list(call, Regular, Some(vhost));
    ["policies", vhost, policy], "A policy: {\"pattern\":\"^a\",\"definition\":{\"max-length\":5},\"priority\":0,\"apply-to\":\"all\"}.":
        GET Policymaker |call| policies::get(call, Regular, vhost, policy),
        PUT Policymaker |call| policies::put(call, Regular, vhost, policy),
        DELETE Policymaker |call| policies::delete(call, Regular, vhost, policy);
    ["operator-policies"], "All operator policies.":
        GET Management |call| policies::list(call, Operator, None);
    ["operator-policies", vhost], "The operator policies of a vhost.":
        GET Management |call| policies::list(call, Operator, Some(vhost));
    ["operator-policies", vhost, policy], "An operator policy, as a policy.":
        GET Administrator |call| policies::get(call, Operator, vhost, policy),
        PUT Administrator |call| policies::put(call, Operator, vhost, policy),
        DELETE Administrator |call| policies::delete(call, Operator, vhost, policy);

    ["parameters"], "Parameters of vhosts: limits and operator policies.":
        GET Policymaker |call| parameters::list(call, None, None);
    ["parameters", component], "Parameters of a component, vhost-limits or operator_policy.":
        GET Policymaker |call| parameters::list(call, Some(component), None);
    ["parameters", component, vhost], "The same in a vhost.":
        GET Policymaker |call| parameters::list(call, Some(component), Some(vhost));
    ["parameters", component, vhost, name], "A parameter: {\"value\":{\"max-queues\":10}}.":
        GET Policymaker |call| parameters::get(call, component, vhost, name),
        PUT Administrator |call| parameters::put(call, component, vhost, name),
        DELETE Administrator |call| parameters::delete(call, component, vhost, name);
    ["global-parameters"], "Global parameters.":
        GET Policymaker |call| parameters::list_global(call);
    ["global-parameters", name], "A global parameter: {\"value\":{}}.":
        GET Policymaker |call| parameters::get_global(call, name),
        PUT Policymaker |call| parameters::put_global(call, name),
        DELETE Policymaker |call| parameters::delete_global(call, name);
    ["cluster-name"], "The name of the cluster: {\"name\":\"a\"}.":
        GET Management |call| parameters::cluster_name(call),
        PUT Administrator |call| parameters::put_cluster_name(call);

    ["vhost-limits"], "The limits of all vhosts.":
        GET Management |call| limits::of_vhosts(call, None);
    ["vhost-limits", vhost], "The limits of a vhost.":
        GET Management |call| limits::of_vhosts(call, Some(vhost));
    ["vhost-limits", vhost, limit], "max-connections or max-queues: {\"value\":100}.":
        PUT Administrator |call| limits::put_vhost(call, vhost, limit),
        DELETE Administrator |call| limits::delete_vhost(call, vhost, limit);
    ["user-limits"], "The limits of all users.":
        GET Administrator |call| limits::of_users(call, None);
    ["user-limits", user], "The limits of a user.":
        GET SelfOrMonitoring |call| limits::of_users(call, Some(user));
    ["user-limits", user, limit], "max-connections or max-channels: {\"value\":100}.":
        PUT Administrator |call| limits::put_user(call, user, limit),
        DELETE Administrator |call| limits::delete_user(call, user, limit);
}
