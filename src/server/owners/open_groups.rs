//! Which transactions have reached the store in part only: nothing is committed before all of each is there.
//!
//! All parts were posted before the first of them got here, so that takes no longer than the shards take to look into
//! their mailboxes, and to carry out the parts that are longer than a turn. And it ends: a connection does nothing else
//! before its commit is answered, and a shard waits for nothing of the store to go on with one.

use std::collections::HashMap;

use crate::model::op::{Group, GroupPart};

/// Groups that miss parts, and how many.
#[derive(Debug, Default)]
pub(crate) struct OpenGroups(HashMap<Group, u16, foldhash::fast::FixedState>);

impl OpenGroups {
    /// A part has come, or the beginning of one.
    pub(crate) fn arrived(&mut self, part: GroupPart) {
        let (GroupPart::Begun(group) | GroupPart::Complete(group)) = part;
        let missing = self.0.entry(group).or_insert(group.parts);
        if let GroupPart::Complete(_) = part {
            *missing = missing.saturating_sub(1);
        }
        if *missing == 0 {
            self.0.remove(&group);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all groups are complete.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::ConnectionId;

    #[test]
    fn a_group_is_open_from_its_first_part_to_its_last() {
        let group = |connection, number| Group { connection: ConnectionId(connection), number, parts: 2 };
        let mut open = OpenGroups::default();
        let steps = [(group(1, 1), false), (group(2, 1), false), (group(1, 1), false), (group(2, 1), true)];
        for (part, is_empty) in steps {
            open.arrived(GroupPart::Complete(part));
            assert_eq!(open.is_empty(), is_empty);
        }
        open.arrived(GroupPart::Complete(group(1, 2)));
        assert!(!open.is_empty(), "another number is another group");
    }

    #[test]
    fn a_part_that_was_begun_is_missing_until_it_is_complete() {
        for parts in [1, 2] {
            let group = Group { connection: ConnectionId(1), number: 1, parts };
            let mut open = OpenGroups::default();
            open.arrived(GroupPart::Begun(group));
            for _ in 0..parts {
                assert!(!open.is_empty());
                open.arrived(GroupPart::Complete(group));
            }
            assert!(open.is_empty());
        }
    }
}
