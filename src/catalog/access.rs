//! Permissions: patterns over names, and the refusals (semantics section 16). Who has which permissions is in the
//! view.

use crate::model::administration::{PermissionSpec, TopicPermissionSpec};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::resource::Resource;

use super::pattern::{Pattern, escaped};

/// What somebody wants to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Configure,
    Write,
    Read,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Configure => "configure",
            Operation::Write => "write",
            Operation::Read => "read",
        }
    }
}

/// The permissions of a user on a vhost.
#[derive(Clone, Debug)]
pub(crate) struct Permissions {
    spec: PermissionSpec,
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

impl Permissions {
    pub(crate) fn new(spec: &PermissionSpec) -> Permissions {
        Permissions {
            spec: spec.clone(),
            configure: Pattern::of_permission(&spec.configure),
            write: Pattern::of_permission(&spec.write),
            read: Pattern::of_permission(&spec.read),
        }
    }

    /// As they were given.
    pub(crate) fn spec(&self) -> &PermissionSpec {
        &self.spec
    }

    fn pattern(&self, operation: Operation) -> &Pattern {
        match operation {
            Operation::Configure => &self.configure,
            Operation::Write => &self.write,
            Operation::Read => &self.read,
        }
    }
}

/// What a user may do with the topics of one exchange (semantics 16.5).
#[derive(Clone, Debug)]
pub(crate) struct TopicPermissions {
    spec: TopicPermissionSpec,
    write: Pattern,
    read: Pattern,
}

impl TopicPermissions {
    /// `{username}` and `{vhost}` in the expressions stand for these two, as they are: what they hold is no expression.
    pub(crate) fn new(spec: &TopicPermissionSpec, user: &str, vhost: &str) -> TopicPermissions {
        let expand = |expression: &str| {
            let named = expression.replace("{username}", &escaped(user));
            Pattern::of_permission(&named.replace("{vhost}", &escaped(vhost)))
        };
        TopicPermissions { spec: spec.clone(), write: expand(&spec.write), read: expand(&spec.read) }
    }

    /// As they were given.
    pub(crate) fn spec(&self) -> &TopicPermissionSpec {
        &self.spec
    }

    fn allows(&self, operation: Operation, topic: &str) -> bool {
        match operation {
            Operation::Write => self.write.matches(topic),
            Operation::Read => self.read.matches(topic),
            Operation::Configure => true,
        }
    }
}

/// Checks one topic of an exchange; 403 where it is refused (semantics 16.3). No permissions refuse nothing.
pub(crate) fn check_topic(
    permissions: Option<&TopicPermissions>,
    user: &str,
    operation: Operation,
    topic: &str,
    exchange: Resource<'_>,
) -> Result<(), Fault> {
    if permissions.is_none_or(|permissions| permissions.allows(operation, topic)) {
        return Ok(());
    }
    Err(Fault::new(
        ReplyCode::AccessRefused,
        format!("{} access to topic '{topic}' in {exchange} refused for user '{user}'", operation.as_str()),
    ))
}

/// Checks one operation; 403 where it is refused (semantics 16.3). The default exchange is checked as `amq.default`
/// (semantics 9.1), and printed so, too.
pub(crate) fn check(
    permissions: Option<&Permissions>,
    user: &str,
    operation: Operation,
    resource: Resource<'_>,
) -> Result<(), Fault> {
    let name = if resource.name.is_empty() { "amq.default" } else { resource.name };
    if permissions.is_some_and(|permissions| permissions.pattern(operation).matches(name)) {
        return Ok(());
    }
    let resource = Resource { name, ..resource };
    Err(Fault::new(
        ReplyCode::AccessRefused,
        format!("{} access to {resource} refused for user '{user}'", operation.as_str()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(write: &str) -> Permissions {
        Permissions::new(&PermissionSpec { configure: "".into(), write: write.into(), read: ".*".into() })
    }

    fn may_write(write: &str, name: &str) -> bool {
        check(Some(&permissions(write)), "u", Operation::Write, Resource::exchange(name, "/")).is_ok()
    }

    #[test]
    fn expressions_are_searched_for_without_anchors() {
        assert!(may_write("rder", "orders"));
        assert!(!may_write("^rder", "orders"));
        assert!(!may_write("", "orders"));
        assert!(!may_write("(", "orders"));
        assert!(may_write("^amq\\.default$", ""));
    }

    #[test]
    fn the_refusal_names_operation_resource_and_user() {
        let refused = check(Some(&permissions("x")), "bob", Operation::Configure, Resource::queue("q", "/"))
            .unwrap_err();
        assert_eq!(
            refused.text(),
            "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'bob'"
        );
        assert!(check(None, "bob", Operation::Read, Resource::queue("q", "/")).is_err());
    }
}
