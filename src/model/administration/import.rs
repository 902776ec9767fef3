//! What definitions are made of, once they are read: changes and declarations, in the order in which they can be made. Which file
//! they come from, and what it looks like, is not known here.

use super::Change;
use crate::model::command::BindingEnds;
use crate::model::ids::Name;
use crate::model::request::{Binding, DeclareExchange, DeclareQueue};

/// One of the things that are imported together.
#[derive(Clone, Debug)]
pub enum ImportItem {
    Change(Change),
    /// One that exists stays as it is.
    Exchange {
        vhost: Name,
        declare: DeclareExchange,
    },
    /// One that exists stays as it is.
    Queue {
        vhost: Name,
        declare: DeclareQueue,
    },
    Binding {
        vhost: Name,
        to: BindingEnds,
        binding: Binding,
    },
}
