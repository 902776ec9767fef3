//! Limits of queues and exchanges (semantics 5.14, 7.17), held against what there is. Who sets them is `administration`'s.

use super::view::ViewState;
use crate::model::administration::bound;
use crate::model::fault::Fault;
use crate::model::resource::Resource;

/// 406 where the vhost or the broker has queues enough (semantics 7.17).
pub(super) fn check_queue_limits(state: &ViewState, vhost: &str, name: &str) -> Result<(), Fault> {
    let of_vhost = state.vhost(vhost).and_then(|vhost| {
        let most = bound(vhost.limits.max_queues)?;
        (vhost.queues.len() as u64 >= most).then_some(most)
    });
    if let Some(most) = of_vhost {
        return Err(Fault::precondition(format!(
            "cannot declare queue '{name}': queue limit in vhost '{vhost}' ({most}) is reached"
        )));
    }
    match state.node_limits().queues {
        Some(most) if state.queues().len() as u64 >= most => Err(Fault::precondition(format!(
            "cannot declare queue '{name}': queue limit in cluster ({most}) is reached"
        ))),
        _ => Ok(()),
    }
}

/// 406 where the broker has exchanges enough (semantics 5.14).
pub(super) fn check_exchange_limit(state: &ViewState, exchange: Resource<'_>) -> Result<(), Fault> {
    match state.node_limits().exchanges {
        Some(most) if state.exchanges().len() as u64 >= most => Err(Fault::precondition(format!(
            "cannot declare {exchange}: exchange limit of {most} is reached"
        ))),
        _ => Ok(()),
    }
}
