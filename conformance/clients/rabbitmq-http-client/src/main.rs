//! The crate that rabbitmqadmin v2 is made of, asked for everything that a broker without plugins can say, beside a connection
//! with a channel and a consumer. It reads every answer into structures: a field that is missing is an error there.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use rabbitmq_http_client::blocking_api::Client;
use rabbitmq_http_client::commons::{
    BindingDestinationType, PaginationParams, PolicyTarget, SupportedProtocol, UserLimitTarget,
    VirtualHostLimitTarget,
};
use rabbitmq_http_client::password_hashing::base64_encoded_salted_password_hash_sha256;
use rabbitmq_http_client::requests::{
    BindingDeletionParams, EnforcedLimitParams, ExchangeParams, GlobalRuntimeParameterDefinition,
    MessageProperties, Permissions, PolicyParams, QueueParams, TopicPermissions, UserParams,
    VirtualHostParams,
};
use serde_json::json;
use tokio::runtime::Runtime;

type Api = Client<String, String, String>;

/// What a check works with: the API, and a vhost in which a connection consumes from the queue `consumed`.
struct Scope {
    api: Api,
    vhost: String,
    runtime: Runtime,
    _connection: Connection,
    channel: Channel,
    _consumer: Consumer,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let amqp = arguments.next().context("the address of the broker is missing")?;
    let Some(management) = arguments.next().filter(|address| !address.is_empty()) else {
        println!("skip all: no --management was given\nend");
        return Ok(());
    };
    let scope = Scope::open(&amqp, &management)?;
    let checks: [(&str, fn(&Scope) -> Result<()>); 13] = [
        ("overview_and_nodes", overview_and_nodes),
        ("features", features),
        ("health_checks", health_checks),
        ("connections_channels_consumers", connections_channels_consumers),
        ("queues", queues),
        ("exchanges_and_bindings", exchanges_and_bindings),
        ("messages", messages),
        ("users_and_permissions", users_and_permissions),
        ("vhosts_and_limits", vhosts_and_limits),
        ("policies", policies),
        ("parameters", parameters),
        ("definitions", definitions),
        ("what_plugins_would_list", what_plugins_would_list),
    ];
    for (name, check) in checks {
        match check(&scope) {
            Ok(()) => println!("ok {name}"),
            Err(reason) => {
                let reason = format!("{reason:#}");
                println!("FAIL {name}: {}", reason.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    scope.api.delete_vhost(&scope.vhost, true)?;
    println!("end");
    Ok(())
}

impl Scope {
    fn open(amqp: &str, management: &str) -> Result<Scope> {
        let (user, rest) = management.trim_start_matches("http://").split_once(':').context("no user")?;
        let (password, host) = rest.split_once('@').context("no password")?;
        let api = Client::new(format!("http://{host}/api"), user.to_owned(), password.to_owned());
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let vhost = format!("crate-{:x}", nanos & 0xffff_ffff_ffff);
        api.create_vhost(&VirtualHostParams::named(&vhost))?;
        api.grant_full_permissions(user, &vhost)?;
        api.declare_classic_queue(&vhost, "consumed")?;
        let runtime = Runtime::new()?;
        let (connection, channel, consumer) = runtime.block_on(async {
            let connection =
                Connection::connect(&format!("{amqp}/{vhost}"), ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            let consumer = channel.basic_consume("consumed".into(), "tag".into(), options, arguments).await?;
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            channel.basic_publish("".into(), "consumed".into(), options, b"text", properties).await?;
            anyhow::Ok((connection, channel, consumer))
        })?;
        Ok(Scope { api, vhost, runtime, _connection: connection, channel, _consumer: consumer })
    }
}

/// Asks again until there is something: RabbitMQ knows some things only seconds later.
fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < Duration::from_secs(15), "waited for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn overview_and_nodes(scope: &Scope) -> Result<()> {
    let overview = scope.api.overview().context("overview")?;
    ensure!(scope.api.server_version()? == overview.rabbitmq_version);
    let nodes = scope.api.list_nodes().context("nodes")?;
    let name = &nodes.first().context("no node")?.name;
    scope.api.get_node_info(name).context("node")?;
    scope.api.get_node_memory_footprint(name).context("memory")?;
    scope.api.list_all_cluster_plugins().context("plugins")?;
    scope.api.get_cluster_name().context("cluster name")?;
    let tags = json!({"region": "here"}).as_object().cloned().unwrap_or_default();
    scope.api.set_cluster_tags(tags).context("setting cluster tags")?;
    ensure!(scope.api.get_cluster_tags().context("cluster tags")?.0.contains_key("region"));
    scope.api.clear_cluster_tags().context("clearing cluster tags")?;
    scope.api.auth_attempts_statistics(name).context("auth attempts")?;
    scope.api.rebalance_queue_leaders().context("rebalance")?;
    Ok(())
}

fn features(scope: &Scope) -> Result<()> {
    ensure!(!scope.api.list_feature_flags().context("flags")?.0.is_empty());
    scope.api.enable_all_stable_feature_flags().context("enabling all")?;
    scope.api.list_all_deprecated_features().context("deprecated")?;
    scope.api.list_deprecated_features_in_use().context("deprecated in use")?;
    Ok(())
}

fn health_checks(scope: &Scope) -> Result<()> {
    scope.api.health_check_cluster_wide_alarms().context("alarms")?;
    scope.api.health_check_local_alarms().context("local alarms")?;
    scope.api.health_check_if_node_is_quorum_critical().context("quorum critical")?;
    scope.api.health_check_protocol_listener(SupportedProtocol::AMQP).context("listener")?;
    ensure!(scope.api.health_check_port_listener(1).is_err(), "somebody listens on port 1");
    Ok(())
}

fn connections_channels_consumers(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    let connection = until("the connection", || Ok(api.list_connections_in(vhost)?.into_iter().next()))?;
    let name = &connection.name;
    ensure!(api.list_connections().context("connections")?.iter().any(|one| one.name == *name));
    api.list_connections_paged(&PaginationParams::first_page_default()).context("a page")?;
    api.get_connection_info(name).context("connection")?;
    api.list_user_connections(&connection.username).context("of the user")?;
    let channel = until("the channel", || Ok(api.list_channels_in(vhost)?.into_iter().next()))?;
    api.list_channels().context("channels")?;
    ensure!(!api.list_channels_paged(&PaginationParams::first_page_default()).context("a page")?.is_empty());
    api.list_channels_on(name).context("of the connection")?;
    until("the channel by its name", || Ok(api.get_channel_info(&channel.name).ok()))?;
    let consumer = until("the consumer", || Ok(api.list_consumers_in(vhost)?.into_iter().next()))?;
    ensure!(consumer.consumer_tag == "tag");
    api.list_consumers().context("consumers")?;
    Ok(())
}

fn queues(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    for number in 0..3 {
        api.declare_quorum_queue(vhost, &format!("quorum.{number}")).context("declare")?;
    }
    let arguments = json!({"x-max-length": 10}).as_object().cloned();
    api.declare_queue(vhost, &QueueParams::new_durable_classic_queue("classic", arguments))
        .context("declare")?;
    ensure!(api.list_queues_in(vhost).context("list")?.len() == 5);
    ensure!(api.list_queues_in_paged(vhost, &PaginationParams::new(2, 3)).context("a page")?.len() == 2);
    ensure!(api.list_quorum_queues_in(vhost).context("quorum queues")?.len() == 3);
    api.list_queues().context("all")?;
    until("details of all queues", || Ok(api.list_queues_with_details().ok()))?;
    api.get_queue_info(vhost, "classic").context("one")?;
    api.purge_queue(vhost, "classic").context("purge")?;
    api.delete_queue(vhost, "classic", false).context("delete")?;
    ensure!(api.delete_queue(vhost, "classic", false).is_err(), "deleted twice");
    api.delete_queue(vhost, "classic", true).context("a deletion of nothing")?;
    api.delete_queues(vhost, &["quorum.0", "quorum.1", "quorum.2"], false)
        .context("three")
        .map_err(Into::into)
}

fn exchanges_and_bindings(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    api.declare_exchange(vhost, &ExchangeParams::durable_topic("one", None)).context("declare")?;
    api.declare_exchange(vhost, &ExchangeParams::durable_fanout("other", None)).context("declare")?;
    ensure!(api.get_exchange_info(vhost, "one").context("one")?.name == "one");
    api.list_exchanges().context("all")?;
    api.list_exchanges_in_paged(vhost, &PaginationParams::first_page(5)).context("a page")?;
    let arguments = json!({"a": 1, "b/c": "d~e%"}).as_object().cloned();
    api.bind_queue(vhost, "consumed", "one", Some("a.#/b"), arguments.clone()).context("bind")?;
    api.bind_exchange(vhost, "other", "one", Some("#"), None).context("bind")?;
    ensure!(api.list_exchange_bindings_with_source(vhost, "one").context("from it")?.len() == 2);
    ensure!(api.list_exchange_bindings_with_destination(vhost, "other").context("to it")?.len() == 1);
    ensure!(api.list_queue_bindings(vhost, "consumed").context("of the queue")?.len() == 2);
    ensure!(api.list_bindings_in(vhost).context("of the vhost")?.len() >= 3);
    api.list_bindings().context("all")?;
    let binding = BindingDeletionParams {
        virtual_host: vhost,
        source: "one",
        destination: "consumed",
        destination_type: BindingDestinationType::Queue,
        routing_key: "a.#/b",
        arguments,
    };
    api.delete_binding(&binding, false).context("unbind")?;
    ensure!(api.list_queue_bindings(vhost, "consumed")?.len() == 1);
    api.delete_exchanges(vhost, &["one", "other"], false).context("delete")?;
    Ok(())
}

fn messages(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    api.declare_classic_queue(vhost, "messages")?;
    let routed =
        api.publish_message(vhost, "amq.default", "messages", "text", MessageProperties::default())?;
    ensure!(routed.routed);
    let got = api.get_messages(vhost, "messages", 5, "ack_requeue_false").context("get")?;
    ensure!(got.len() == 1 && got[0].payload == "text");
    ensure!(api.get_messages(vhost, "messages", 5, "ack_requeue_false")?.is_empty());
    api.delete_queue(vhost, "messages", false)?;
    // The consumer's channel is alive still.
    scope.runtime.block_on(scope.channel.basic_cancel("nobody".into(), Default::default()))?;
    Ok(())
}

fn users_and_permissions(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    let name = format!("{vhost}.user");
    let hash = base64_encoded_salted_password_hash_sha256(&[1, 2, 3, 4], "secret");
    api.create_user(&UserParams::new(&name, &hash, "monitoring")).context("create")?;
    ensure!(api.get_user(&name).context("get")?.name == name);
    api.list_users().context("list")?;
    ensure!(
        api.list_users_without_permissions()
            .context("without permissions")?
            .iter()
            .any(|user| user.name == name)
    );
    api.current_user().context("whoami")?;
    let permissions = Permissions { user: &name, vhost, configure: "a", read: "b", write: "c" };
    api.grant_permissions(&permissions).context("grant")?;
    ensure!(api.get_permissions(vhost, &name).context("permissions")?.read == "b");
    ensure!(api.list_permissions_of(&name).context("of the user")?.len() == 1);
    ensure!(api.list_permissions_in(vhost).context("in the vhost")?.len() == 2);
    api.list_permissions().context("all")?;
    let topics = TopicPermissions { user: &name, vhost, write: "w", read: "r", exchange: "amq.topic" };
    api.declare_topic_permissions(&topics).context("topics")?;
    ensure!(api.list_topic_permissions_of(&name).context("topics of the user")?.len() == 1);
    ensure!(api.list_topic_permissions_in(vhost).context("topics in the vhost")?.len() == 1);
    api.list_topic_permissions().context("all topics")?;
    api.clear_topic_permissions(vhost, &name, false).context("clear topics")?;
    let limit = EnforcedLimitParams::new(UserLimitTarget::MaxChannels, 7);
    api.set_user_limit(&name, limit).context("limit")?;
    ensure!(api.list_user_limits(&name).context("limits of the user")?.len() == 1);
    api.list_all_user_limits().context("limits")?;
    api.clear_user_limit(&name, UserLimitTarget::MaxChannels).context("clear the limit")?;
    api.clear_permissions(vhost, &name, false).context("clear")?;
    api.delete_users(vec![&name]).context("delete")?;
    ensure!(api.get_user(&name).is_err(), "it is there still");
    Ok(())
}

fn vhosts_and_limits(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    api.list_vhosts().context("list")?;
    let params =
        VirtualHostParams::named(vhost).with_description("a description").with_tags(vec!["one", "two"]);
    api.update_vhost(&params).context("update")?;
    ensure!(api.get_vhost(vhost).context("get")?.description.as_deref() == Some("a description"));
    api.enable_vhost_deletion_protection(vhost).context("protect")?;
    ensure!(api.delete_vhost(vhost, false).is_err(), "a protected vhost was deleted");
    api.disable_vhost_deletion_protection(vhost).context("unprotect")?;
    let limit = EnforcedLimitParams::new(VirtualHostLimitTarget::MaxQueues, 77);
    api.set_vhost_limit(vhost, limit).context("limit")?;
    ensure!(api.list_vhost_limits(vhost).context("limits of the vhost")?.len() == 1);
    api.list_all_vhost_limits().context("limits")?;
    api.clear_vhost_limit(vhost, VirtualHostLimitTarget::MaxQueues).context("clear")?;
    Ok(())
}

fn policies(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    let definition = json!({"max-length": 1000}).as_object().cloned().unwrap_or_default();
    let policy =
        PolicyParams::new(vhost, "policy", "^none", definition).apply_to(PolicyTarget::Queues).priority(3);
    api.declare_policy(&policy).context("declare")?;
    ensure!(api.get_policy(vhost, "policy").context("get")?.priority == 3);
    ensure!(api.list_policies_in(vhost).context("in the vhost")?.len() == 1);
    api.list_policies().context("all")?;
    api.delete_policy(vhost, "policy", false).context("delete")?;
    api.declare_operator_policy(&policy).context("declare for operators")?;
    api.get_operator_policy(vhost, "policy").context("get for operators")?;
    ensure!(api.list_operator_policies_in(vhost).context("of operators in the vhost")?.len() == 1);
    api.list_operator_policies().context("all of operators")?;
    api.delete_operator_policy(vhost, "policy", false).context("delete for operators")?;
    Ok(())
}

fn parameters(scope: &Scope) -> Result<()> {
    let (api, name) = (&scope.api, format!("{}.parameter", scope.vhost));
    api.list_runtime_parameters().context("list")?;
    let value = json!({"a": 1}).as_object().cloned().unwrap_or_default();
    api.upsert_global_runtime_parameter(&GlobalRuntimeParameterDefinition { name: &name, value })
        .context("put")?;
    api.get_global_runtime_parameter(&name).context("get")?;
    ensure!(api.list_global_runtime_parameters().context("global ones")?.iter().any(|one| one.name == name));
    api.clear_global_runtime_parameter(&name).context("delete")?;
    Ok(())
}

fn definitions(scope: &Scope) -> Result<()> {
    let (api, vhost) = (&scope.api, &*scope.vhost);
    api.export_cluster_wide_definitions_as_data().context("export, read")?;
    api.export_vhost_definitions_as_data(vhost).context("export of the vhost, read")?;
    let text = api.export_vhost_definitions_as_string(vhost).context("export of the vhost")?;
    api.declare_classic_queue(vhost, "not in it")?;
    api.import_vhost_definitions(vhost, serde_json::from_str(&text)?).context("import")?;
    let mut queue = serde_json::from_str::<serde_json::Value>(&text)?;
    queue["queues"][0]["name"] = json!("new");
    api.import_vhost_definitions(vhost, queue).context("import of a new queue")?;
    api.get_queue_info(vhost, "new").context("what was imported")?;
    Ok(())
}

fn what_plugins_would_list(scope: &Scope) -> Result<()> {
    ensure!(scope.api.list_shovels_in(&scope.vhost).context("shovels")?.is_empty());
    scope.api.list_shovels().context("all shovels")?;
    scope.api.list_federation_upstreams().context("upstreams")?;
    scope.api.list_federation_links().context("links")?;
    Ok(())
}
