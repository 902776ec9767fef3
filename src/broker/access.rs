//! Permissions: patterns over names, and the refusals (semantics.md section 16). Who has which permissions is in the
//! view.

use regex::Regex;

use crate::model::fault::{Fault, ReplyCode};
use crate::model::resource::Resource;

use super::command::PermissionSpec;

/// What somebody wants to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
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
pub(super) struct Permissions {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

impl Permissions {
    pub(super) fn new(spec: &PermissionSpec) -> Permissions {
        Permissions {
            configure: Pattern::new(&spec.configure),
            write: Pattern::new(&spec.write),
            read: Pattern::new(&spec.read),
        }
    }

    fn pattern(&self, operation: Operation) -> &Pattern {
        match operation {
            Operation::Configure => &self.configure,
            Operation::Write => &self.write,
            Operation::Read => &self.read,
        }
    }
}

/// One expression of a permission. One that cannot be read allows nothing.
#[derive(Clone, Debug)]
enum Pattern {
    Everything,
    Nothing,
    Matching(Regex),
}

impl Pattern {
    fn new(expression: &str) -> Pattern {
        match expression {
            "" => Pattern::exactly_nothing(),
            ".*" => Pattern::Everything,
            _ => Regex::new(expression).map_or(Pattern::Nothing, Pattern::Matching),
        }
    }

    /// The empty expression allows the empty name alone (16.1).
    fn exactly_nothing() -> Pattern {
        Regex::new("^$").map_or(Pattern::Nothing, Pattern::Matching)
    }

    fn allows(&self, name: &str) -> bool {
        match self {
            Pattern::Everything => true,
            Pattern::Nothing => false,
            Pattern::Matching(regex) => regex.is_match(name),
        }
    }
}

/// Checks one operation; 403 where it is refused (16.3). The default exchange is checked as `amq.default` (9.1), and
/// printed so, too.
pub(super) fn check(
    permissions: Option<&Permissions>,
    user: &str,
    operation: Operation,
    resource: Resource<'_>,
) -> Result<(), Fault> {
    let name = if resource.name.is_empty() { "amq.default" } else { resource.name };
    if permissions.is_some_and(|permissions| permissions.pattern(operation).allows(name)) {
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
