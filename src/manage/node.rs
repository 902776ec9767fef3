//! What administrators ask of the node alone: what it was told and who tried to log in. And Leveret's own limits of the whole
//! broker, of which a field that nobody knows is refused: a limit misspelt is no limit.

use std::net::SocketAddr;

use serde_json::json;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::fields::{number, unknown, wrong};
use super::vhosts::check_node;
use crate::model::administration::{Change, NodeLimits};
use crate::server::UNLIMITED;

pub(super) async fn limits(call: &Call<'_>) -> Outcome {
    let mut limits = *call.view().read().node_limits();
    Ok(Answer::Found(named(&mut limits).into_iter().map(|(name, limit)| (name, *limit)).collect()))
}

/// One line each, by the names of the arguments.
pub(super) async fn effective_config(call: &Call<'_>) -> Outcome {
    let administrator = &call.context.administrator;
    let (facts, thresholds) = (administrator.facts(), administrator.thresholds());
    let addresses = |addresses: &[SocketAddr]| {
        let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        if all.is_empty() { "off".to_owned() } else { all.join(",") }
    };
    let megabytes =
        |bytes: u64| if bytes == UNLIMITED { "off".to_owned() } else { (bytes >> 20).to_string() };
    let lines = [
        ("data-dir", facts.data_dir.display().to_string()),
        ("listen", addresses(&facts.listeners)),
        ("management-listen", addresses(&facts.management)),
        ("metrics-listen", addresses(&facts.metrics)),
        (
            "control-socket",
            facts.control.as_ref().map_or("off".to_owned(), |path| path.display().to_string()),
        ),
        ("max-connections", facts.most_connections.to_string()),
        ("memory-limit", megabytes(thresholds.memory())),
        ("disk-free-limit", megabytes(thresholds.disk())),
    ];
    Ok(Answer::Plain(lines.map(|(name, value)| format!("{name} = {value}\n")).concat()))
}

pub(super) async fn attempts(call: &Call<'_>, node: &str) -> Outcome {
    check_node(node)?;
    Ok(Answer::Found(call.context.attempts.described(call.clients().churn())))
}

pub(super) async fn forget_attempts(call: &Call<'_>, node: &str) -> Outcome {
    check_node(node)?;
    call.context.attempts.forget(call.clients().churn());
    Ok(Answer::Done)
}

/// What is not given stays as it is; null takes a limit away.
pub(super) async fn put_limits(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    let mut limits = *call.view().read().node_limits();
    for (name, value) in fields.iter() {
        let mut known = named(&mut limits);
        let Some((_, limit)) = known.iter_mut().find(|(known, _)| *known == name) else {
            return Err(unknown(name, known.iter().map(|(known, _)| *known)));
        };
        **limit = if value.is_null() { None } else { Some(number(name, value)?) };
    }
    call.apply(Change::SetNodeLimits(limits)).await?;
    Ok(Answer::Done)
}

pub(super) async fn channel_max(call: &Call<'_>) -> Outcome {
    Ok(Answer::Found(json!({CHANNEL_MAX: call.context.administrator.channel_max()})))
}

const CHANNEL_MAX: &str = "channel_max";

/// For connections that come from now on; 0 is no limit.
pub(super) async fn put_channel_max(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    fields.require(&[CHANNEL_MAX])?;
    for (name, value) in fields.iter() {
        if name != CHANNEL_MAX {
            return Err(unknown(name, [CHANNEL_MAX]));
        }
        let most = u16::try_from(number(name, value)?);
        let most = most.map_err(|_| wrong(name, "a whole number from 0 to 65535", value))?;
        call.context.administrator.set_channel_max(most);
    }
    Ok(Answer::Done)
}

/// The limits by the names they have here.
fn named(limits: &mut NodeLimits) -> [(&'static str, &mut Option<u64>); 6] {
    let NodeLimits { connections, channels, consumers_per_channel, vhosts, queues, exchanges } = limits;
    [
        ("connections", connections),
        ("channels", channels),
        ("consumers_per_channel", consumers_per_channel),
        ("vhosts", vhosts),
        ("queues", queues),
        ("exchanges", exchanges),
    ]
}
