//! What is changed of a running node until its next start: when memory and disk block publishers, and what is logged.

use serde_json::{Value, json};

use crate::broker::Path;
use crate::rabbitmq::call::Call;
use crate::rabbitmq::output::Output;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, SOFTWARE, UNAVAILABLE, Wrong};

/// RabbitMQ's levels, and the filters that they are here.
const LEVELS: [(&str, &str); 6] = [
    ("debug", "debug"),
    ("info", "info"),
    ("warning", "warn"),
    ("error", "error"),
    ("critical", "error"),
    ("none", "off"),
];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "set_disk_free_limit",
        "<disk_limit> | mem_relative <fraction>",
        "Says how much free disk publishers need",
        set_disk,
    )
    .takes(1, 2)
    .checks(|call| match call.arguments() {
        [only] if only == "mem_relative" => Err(Invalid::usage("not enough arguments.")),
        [relative, fraction] if relative == "mem_relative" => match fraction.parse::<f64>() {
            Ok(fraction) if fraction >= 0.0 => Ok(()),
            _ => Err(bad_argument()),
        },
        [amount] => bytes(amount).map(|_| ()).ok_or_else(bad_argument),
        _ => Err(Invalid::usage("too many arguments.")),
    })
    .says(|call| match call.arguments() {
        [_, fraction] => {
            format!("Setting disk free limit on {} to {fraction} times the total RAM ...", call.node())
        }
        _ => format!("Setting disk free limit on {} to {} bytes ...", call.node(), call.argument(0)),
    }),
    verb("set_log_level", "<log_level>", "Says what is logged", set_log_level).takes(1, 1).says(|call| {
        match LEVELS.iter().any(|(level, _)| *level == call.argument(0)) {
            true => format!("Setting log level to \"{}\" ...", call.argument(0)),
            false => String::new(),
        }
    }),
    verb(
        "set_vm_memory_high_watermark",
        "<fraction> | absolute <value>",
        "Says with how much memory publishers are blocked",
        set_memory,
    )
    .takes(1, 2)
    .checks(|call| match call.arguments() {
        [only] if only == "absolute" => Err(Invalid::usage("not enough arguments.")),
        [absolute, amount] if absolute == "absolute" => bytes(amount).map(|_| ()).ok_or_else(bad_argument),
        [fraction] => match fraction.parse::<f64>() {
            Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(()),
            Ok(_) => Err(Invalid::argument("The threshold should be a fraction between 0.0 and 1.0")),
            Err(_) => Err(bad_argument()),
        },
        _ => Err(Invalid::usage("too many arguments.")),
    })
    .says(|call| match call.arguments() {
        [_, amount] => format!("Setting memory threshold on {} to {amount} bytes ...", call.node()),
        _ => format!("Setting memory threshold on {} to {} ...", call.node(), call.argument(0)),
    }),
];

pub(super) const MONITORING: &[Verb] = &[
    verb(
        "activate_free_disk_space_monitoring",
        "[--timeout <timeout>]",
        "Does nothing: free disk space is always watched",
        |_| Ok(Output::Nothing),
    )
    .of(CTL.and(DIAGNOSTICS))
    .says(|call| format!("[Re-]activating free disk space monitoring on node {}...", call.node())),
    verb(
        "deactivate_free_disk_space_monitoring",
        "[--timeout <timeout>]",
        "Refuses: free disk space is always watched",
        |_| {
            let what = "free disk space is always watched here. To be left alone by its alarm, lower the limit: \
                        rabbitmqctl set_disk_free_limit 0";
            Err(Wrong::error(SOFTWARE, what))
        },
    )
    .of(CTL.and(DIAGNOSTICS)),
];

fn bad_argument() -> Invalid {
    Invalid { code: DATA_ERROR, what: "Bad argument.".to_owned(), is_of_node: false }
}

/// An amount of bytes, as in `2GB`, `60MiB` or `60000000`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" => 1,
        "k" | "kiB" | "KiB" | "K" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn put(call: &Call<'_>, threshold: &Value) -> Answer {
    call.put(Path::api("leveret/thresholds"), threshold)?;
    Ok(Output::Nothing)
}

fn set_memory(call: &Call<'_>) -> Answer {
    match call.arguments() {
        [_, amount] => put(call, &json!({ "memory_limit_bytes": bytes(amount) })),
        _ => put(call, &json!({ "memory_limit_relative": call.argument(0).parse::<f64>().ok() })),
    }
}

fn set_disk(call: &Call<'_>) -> Answer {
    match call.arguments() {
        [_, fraction] => put(call, &json!({ "disk_free_limit_relative": fraction.parse::<f64>().ok() })),
        _ => put(call, &json!({ "disk_free_limit_bytes": bytes(call.argument(0)) })),
    }
}

fn set_log_level(call: &Call<'_>) -> Answer {
    let level = call.argument(0);
    let Some((_, filter)) = LEVELS.iter().find(|(known, _)| *known == level) else {
        let known = LEVELS.map(|(level, _)| level).join(", ");
        return Err(Wrong::error(UNAVAILABLE, format!("level {level} is not supported. Try one of {known}")));
    };
    call.put(Path::api("leveret/log-filter"), &json!({ "filter": filter }))?;
    Ok(Output::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_bytes_have_units() {
        for (text, expected) in [
            ("60000000", Some(60_000_000)),
            ("60MB", Some(60_000_000)),
            ("2GiB", Some(2 << 30)),
            ("1k", Some(1024)),
            ("nosuch", None),
            ("", None),
            ("5 MB", None),
            ("-1", None),
            ("99999999999999999999", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
