//! What a comparison is to do: which workloads, against which brokers, how often and how long. Carrying it out is in
//! `compare`, what came out in `report`.

use std::path::PathBuf;

use crate::asking::Page;
use crate::target::Address;
use crate::workload::Workload;

#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) restart_command: Option<String>,
    /// What somebody looks at once a second while it is measured.
    pub(crate) asked: Vec<Page>,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) rounds: usize,
    /// Length of a measured window.
    pub(crate) seconds: f64,
    /// What the counts of the workloads were divided by.
    pub(crate) shrink: u32,
    pub(crate) disk: Option<PathBuf>,
}
