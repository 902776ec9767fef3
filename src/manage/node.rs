//! Leveret's own: limits of the whole broker, and the thresholds of memory and disk, which are back to the
//! configuration after a restart. Here a field that nobody knows is refused: a limit misspelt is no limit.

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::fields::wrong;
use super::json::integer;
use crate::model::administration::{Change, NodeLimits};
use crate::server::UNLIMITED;

pub(super) async fn limits(call: &Call<'_>) -> Outcome {
    let mut limits = *call.view().read().node_limits();
    Ok(Answer::Found(named(&mut limits).into_iter().map(|(name, limit)| (name, *limit)).collect()))
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

pub(super) async fn thresholds(call: &Call<'_>) -> Outcome {
    let thresholds = call.context.administrator.thresholds();
    let memory = match thresholds.memory() {
        UNLIMITED => 0,
        bytes => bytes >> 20,
    };
    Ok(Answer::Found(json!({MEMORY: memory, DISK: thresholds.disk() >> 20})))
}

const MEMORY: &str = "memory_limit_mib";
const DISK: &str = "disk_free_limit_mib";

/// What is not given stays as it is; 0 is no limit.
pub(super) async fn put_thresholds(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    let (mut memory, mut disk) = (None, None);
    for (name, value) in fields.iter() {
        let set = match name {
            MEMORY => &mut memory,
            DISK => &mut disk,
            _ => return Err(unknown(name, [MEMORY, DISK])),
        };
        *set = Some(number(name, value)?.checked_mul(1 << 20).ok_or_else(|| wrong(name, A_NUMBER, value))?);
    }
    let thresholds = call.context.administrator.thresholds();
    if let Some(bytes) = memory {
        thresholds.set_memory(if bytes == 0 { UNLIMITED } else { bytes });
    }
    if let Some(bytes) = disk {
        thresholds.set_disk(bytes);
    }
    Ok(Answer::Done)
}

const A_NUMBER: &str = "a whole number that is not negative";

fn number(name: &str, value: &Value) -> Result<u64, Refusal> {
    let number = integer(value).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| wrong(name, A_NUMBER, value))
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Refusal {
    let known: Vec<&str> = known.into_iter().collect();
    Refusal::bad(format!("there is no field {name}; there are {}", known.join(", ")))
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
