//! Workloads that are not a steady flow: each has phases of its own.

mod backlog;
mod churn;
mod idle;
mod reconnect;
mod restart;
mod rpc;

pub(crate) use backlog::run as backlog;
pub(crate) use churn::run as churn;
pub(crate) use idle::run as idle;
pub(crate) use reconnect::run as reconnect;
pub(crate) use restart::run as restart;
pub(crate) use rpc::run as rpc;
