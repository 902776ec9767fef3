//! Which transactions have reached the store in part only: nothing is committed before all of each is there.
//!
//! That takes no longer than the shards take to look into their mailboxes: all parts were posted before the first of them
//! got here. And it ends, since a connection does nothing else before its commit is answered.

use std::collections::HashMap;

use crate::model::op::Group;

/// Groups that miss parts, and how many.
#[derive(Debug, Default)]
pub(crate) struct OpenGroups(HashMap<Group, u16, foldhash::fast::FixedState>);

impl OpenGroups {
    /// One part has come.
    pub(crate) fn arrived(&mut self, group: Group) {
        let missing = self.0.entry(group).or_insert(group.parts);
        *missing = missing.saturating_sub(1);
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
            open.arrived(part);
            assert_eq!(open.is_empty(), is_empty);
        }
        open.arrived(group(1, 2));
        assert!(!open.is_empty(), "another number is another group");
    }
}
