//! When memory and disk run short, so that publishers are blocked: the thresholds, which are back to the configuration after a
//! restart, and the alarms, which may be set by hand. Who looks at memory and disk is the server's.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::fields::{A_NUMBER, number, unknown, wrong};
use crate::model::event::Alarms;
use crate::server::UNLIMITED;

const FIELDS: [&str; 6] = [
    "memory_limit_mib",
    "memory_limit_bytes",
    "memory_limit_relative",
    "disk_free_limit_mib",
    "disk_free_limit_bytes",
    "disk_free_limit_relative",
];
const A_FRACTION: &str = "a number that is not negative";
/// How long the broker may take to see an alarm: it looks once a second.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(super) async fn get(call: &Call<'_>) -> Outcome {
    let thresholds = call.context.administrator.thresholds();
    let memory = Some(thresholds.memory()).filter(|&bytes| bytes != UNLIMITED);
    let disk = thresholds.disk();
    Ok(Answer::Found(json!({
        "memory_limit_mib": memory.map_or(0, |bytes| bytes >> 20),
        "memory_limit_bytes": memory,
        "disk_free_limit_mib": disk >> 20,
        "disk_free_limit_bytes": disk,
        "memory_total_bytes": call.context.administrator.facts().memory_total(),
    })))
}

/// What is not given stays as it is. Of MiB 0 is no limit; of bytes, and of what is relative to the memory that the machine or its control
/// group has, it is a limit of nothing, as it is in RabbitMQ.
pub(super) async fn put(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    let administrator = &call.context.administrator;
    let total = administrator.facts().memory_total();
    let (mut memory, mut disk) = (None, None);
    for (name, value) in fields.iter() {
        let (limit, unit) = name.rsplit_once('_').unwrap_or_default();
        let set = match limit {
            "memory_limit" => &mut memory,
            "disk_free_limit" => &mut disk,
            _ => return Err(unknown(name, FIELDS)),
        };
        *set = Some(match unit {
            "mib" => match number(name, value)? {
                0 if limit == "memory_limit" => UNLIMITED,
                mib => mib.checked_mul(1 << 20).ok_or_else(|| wrong(name, A_NUMBER, value))?,
            },
            "bytes" => number(name, value)?,
            "relative" => share(total, name, value)?,
            _ => return Err(unknown(name, FIELDS)),
        });
    }
    let thresholds = administrator.thresholds();
    if let Some(bytes) = memory {
        thresholds.set_memory(bytes);
    }
    if let Some(bytes) = disk {
        thresholds.set_disk(bytes);
    }
    Ok(Answer::Done)
}

/// So many times the memory there is.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is too large is cut to the largest"
)]
fn share(total: Option<u64>, name: &str, value: &Value) -> Result<u64, Refusal> {
    let share = value.as_f64().filter(|share| *share >= 0.0).ok_or_else(|| wrong(name, A_FRACTION, value))?;
    let total = total.ok_or_else(|| Refusal::bad("it is not known how much memory there is; give bytes"))?;
    Ok((share * total as f64) as u64)
}

pub(super) async fn alarms(call: &Call<'_>) -> Outcome {
    let administrator = &call.context.administrator;
    let (alarms, by_hand) = (administrator.alarms(), administrator.thresholds().by_hand());
    Ok(Answer::Found(json!({
        "memory": {"in_effect": alarms.memory, "by_hand": by_hand.memory},
        "disk": {"in_effect": alarms.disk, "by_hand": by_hand.disk},
    })))
}

/// Done once clients are told. An alarm that is cleared stays in effect where memory or disk do run short.
pub(super) async fn set_alarm(call: &mut Call<'_>, name: &str, on: bool) -> Outcome {
    let administrator = &call.context.administrator;
    let thresholds = administrator.thresholds();
    let of = |alarms: Alarms| if name == "memory" { alarms.memory } else { alarms.disk };
    match name {
        "memory" => thresholds.set_memory_by_hand(on),
        "disk" => thresholds.set_disk_by_hand(on),
        _ => return Err(Refusal::Missing("there are the alarms memory and disk".into())),
    }
    let since = Instant::now();
    while of(administrator.alarms()) != on && since.elapsed() < PATIENCE {
        if !on && runs_short(call, name) {
            break;
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(Answer::Done)
}

fn runs_short(call: &Call<'_>, name: &str) -> bool {
    let administrator = &call.context.administrator;
    let (facts, thresholds) = (administrator.facts(), administrator.thresholds());
    match name {
        "memory" => facts.memory_used() > thresholds.memory(),
        _ => facts.disk_free() < thresholds.disk(),
    }
}
