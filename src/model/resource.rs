//! How a resource is printed in texts that clients read (`Q` and `X` in docs/semantics.md).

use std::fmt;

/// A queue or an exchange with its vhost, as RabbitMQ prints it: `queue 'q' in vhost '/'`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    pub kind: ResourceKind,
    pub name: &'a str,
    pub vhost: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    Queue,
    Exchange,
}

impl<'a> Resource<'a> {
    #[must_use]
    pub fn queue(name: &'a str, vhost: &'a str) -> Resource<'a> {
        Resource { kind: ResourceKind::Queue, name, vhost }
    }

    #[must_use]
    pub fn exchange(name: &'a str, vhost: &'a str) -> Resource<'a> {
        Resource { kind: ResourceKind::Exchange, name, vhost }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ResourceKind::Queue => "queue",
            ResourceKind::Exchange => "exchange",
        };
        write!(f, "{kind} '{}' in vhost '{}'", self.name, self.vhost)
    }
}
