//! Whether clients come in: listeners suspended and resumed, all of them sent away, and the end of the broker itself. A body is of no
//! use to any of it, but one that is no JSON is refused, for whoever sends it means something else.

use serde_json::{Value, json};
use tracing::info;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use crate::server::{ListenersError, Reception};

pub(super) async fn listeners(call: &Call<'_>) -> Outcome {
    let administrator = &call.context.administrator;
    let (facts, reception) = (administrator.facts(), administrator.reception());
    let all = [(&facts.listeners, "amqp"), (&facts.management, "http"), (&facts.metrics, "http/prometheus")];
    let all =
        all.into_iter().flat_map(|(addresses, protocol)| addresses.iter().map(move |at| (at, protocol)));
    let mut all: Vec<Value> = all
        .map(|(address, protocol)| {
            let accepting = protocol != "amqp" || reception == Reception::Running;
            json!({
                "protocol": protocol, "address": address.ip().to_string(), "port": address.port(),
                "accepting": accepting,
            })
        })
        .collect();
    if let Some(path) = &facts.control {
        all.push(json!({"protocol": "http/control", "path": path.to_string_lossy(), "accepting": true}));
    }
    let state = match reception {
        Reception::Running => "running",
        Reception::Suspended => "suspended",
        Reception::Stopped => "stopped",
    };
    Ok(Answer::Found(json!({"state": state, "listeners": all})))
}

pub(super) async fn suspend(call: &mut Call<'_>) -> Outcome {
    call.fields().await?;
    done(call.context.administrator.suspend_listeners().await, "clients are not let in any more")
}

pub(super) async fn resume(call: &mut Call<'_>) -> Outcome {
    call.fields().await?;
    done(call.context.administrator.resume_listeners().await, "clients are let in again")
}

pub(super) async fn stop_app(call: &mut Call<'_>) -> Outcome {
    call.fields().await?;
    done(
        call.context.administrator.stop_serving().await,
        "all connections are closed, and clients are not let in",
    )
}

pub(super) async fn start_app(call: &mut Call<'_>) -> Outcome {
    call.fields().await?;
    done(call.context.administrator.start_serving().await, "clients are let in again")
}

/// Answered before the broker is gone, which answers nothing any more.
pub(super) async fn stop(call: &mut Call<'_>) -> Outcome {
    call.fields().await?;
    info!("an administrator has asked for it: stopping");
    call.context.administrator.stop_broker();
    Ok(Answer::Done)
}

fn done(outcome: Result<(), ListenersError>, what: &str) -> Outcome {
    match outcome {
        Ok(()) => {
            info!("an administrator has asked for it: {what}");
            Ok(Answer::Done)
        }
        Err(error @ ListenersError::Stopped) => Err(Refusal::Conflict(error.to_string())),
        Err(error @ (ListenersError::Taken { .. } | ListenersError::Slow { .. })) => {
            Err(Refusal::Blocked(error.to_string()))
        }
    }
}
