//! The management API over real HTTP against the real binary: every resource made, read, changed and deleted, who may
//! do so, and what hostile clients get.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "management/api.rs"]
mod api;
#[path = "management/counts.rs"]
mod counts;
#[path = "management/definitions.rs"]
mod definitions;
#[path = "management/hostile.rs"]
mod hostile;
#[path = "management/node.rs"]
mod node;
#[path = "management/objects.rs"]
mod objects;
#[path = "management/order.rs"]
mod order;
#[path = "management/pages.rs"]
mod pages;
#[path = "management/queues.rs"]
mod queues;
#[path = "management/resources.rs"]
mod resources;
#[path = "management/rights.rs"]
mod rights;
#[path = "support/mod.rs"]
mod support;
