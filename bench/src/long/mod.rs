//! Workloads that are not a steady flow: each has phases of its own.

mod backlog;
mod churn;
mod idle;
mod restart;

pub(crate) use backlog::run as backlog;
pub(crate) use churn::run as churn;
pub(crate) use idle::run as idle;
pub(crate) use restart::run as restart;
