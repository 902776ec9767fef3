//! Everything that is declared and administered goes, with the messages in it, and the broker is as a new one. As with RabbitMQ, clients
//! have to be gone before.

use tracing::warn;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use crate::model::administration::{AdministrationError, Change, NodeLimits, of_new_broker};
use crate::model::ids::Name;
use crate::server::Reception;

/// Not one commit: what is cut short is begun again by whoever asks again.
pub(super) async fn post(call: &mut Call<'_>) -> Outcome {
    call.fields().await?;
    if call.context.administrator.reception() != Reception::Stopped {
        let why = "clients may still be connected: close the listeners and all connections first (stop_app)";
        return Err(Refusal::Conflict(why.to_owned()));
    }
    warn!("an administrator has asked for it: everything is deleted that is declared and administered");
    let (vhosts, users, parameters) = all(call);
    // None of them keeps what a new broker has from being made.
    call.apply(Change::SetNodeLimits(NodeLimits::default())).await?;
    for name in vhosts {
        change(call, Change::SetVhostProtection { vhost: name.clone(), on: false }).await?;
        change(call, Change::DeleteVhost { name }).await?;
    }
    for name in users {
        change(call, Change::DeleteUser { name }).await?;
    }
    for name in parameters {
        change(call, Change::SetGlobalParameter { name, value: None }).await?;
    }
    for of_new in of_new_broker() {
        call.apply(of_new).await?;
    }
    Ok(Answer::Done)
}

/// The names of all vhosts, users and global parameters.
fn all(call: &Call<'_>) -> (Vec<Name>, Vec<Name>, Vec<Name>) {
    let state = call.view().read();
    (
        state.vhosts().map(|vhost| vhost.name.clone()).collect(),
        state.users().map(|user| user.name.clone()).collect(),
        state.global_parameters().map(|(name, _)| name.clone()).collect(),
    )
}

/// What somebody else has deleted meanwhile is gone as well.
async fn change(call: &Call<'_>, change: Change) -> Result<(), Refusal> {
    match call.apply(change).await {
        Ok(_) | Err(AdministrationError::NoVhost(_) | AdministrationError::NoUser(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
