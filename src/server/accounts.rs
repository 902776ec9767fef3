//! Users and groups of this machine, as `/etc/passwd` and `/etc/group` have them; what other directories of users know (LDAP and
//! the like) is not asked. What somebody may do is not decided here.

use std::fs;
use std::io;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// The number of a group that is given by its name, or by its number, which then need not be in the file. None where there is none.
pub(super) fn group(named: &str) -> io::Result<Option<u32>> {
    Ok(group_in(&fs::read_to_string(GROUPS)?, named))
}

/// Whether a user is in a group: by what the user's own entry says, or the group's. The files are read anew, so that who was taken
/// out of a group is out of it.
pub(super) fn is_member(user: u32, group: u32) -> io::Result<bool> {
    Ok(is_member_in(&fs::read_to_string(USERS)?, &fs::read_to_string(GROUPS)?, user, group))
}

/// Whether a group may have members besides this user and root: of one that only another directory knows nobody can say. On many
/// systems each user has a group of their own, with nobody else in it.
pub(super) fn has_others(group: u32, user: u32) -> bool {
    match (fs::read_to_string(USERS), fs::read_to_string(GROUPS)) {
        (Ok(users), Ok(groups)) => has_others_in(&users, &groups, group, user),
        _ => true,
    }
}

fn group_in(groups: &str, named: &str) -> Option<u32> {
    let known = groups.lines().find_map(|line| {
        let (name, number, _) = group_entry(line)?;
        (name == named).then_some(number)
    });
    known.or_else(|| named.parse().ok())
}

fn is_member_in(users: &str, groups: &str, user: u32, group: u32) -> bool {
    let of_user = users.lines().filter_map(user_entry).filter(|(_, number, _)| *number == user);
    // More than one name may stand for a user.
    let (names, own): (Vec<&str>, Vec<u32>) = of_user.map(|(name, _, own)| (name, own)).unzip();
    own.contains(&group)
        || groups.lines().filter_map(group_entry).any(|(_, number, members)| {
            number == group && members.split(',').any(|member| names.contains(&member.trim()))
        })
}

fn has_others_in(users: &str, groups: &str, group: u32, user: u32) -> bool {
    let is_other = |number: u32| number != 0 && number != user;
    let own: Vec<&str> = users
        .lines()
        .filter_map(user_entry)
        .filter(|entry| !is_other(entry.1))
        .map(|entry| entry.0)
        .collect();
    let mut entries = groups.lines().filter_map(group_entry).filter(|entry| entry.1 == group).peekable();
    entries.peek().is_none()
        || users.lines().filter_map(user_entry).any(|(_, number, of)| of == group && is_other(number))
        || entries
            .flat_map(|(_, _, members)| members.split(','))
            .map(str::trim)
            .any(|member| !member.is_empty() && !own.contains(&member))
}

/// Name, number and group of a line `name:password:number:group:...`.
fn user_entry(line: &str) -> Option<(&str, u32, u32)> {
    let mut fields = line.split(':');
    let (name, number, group) = (fields.next()?, fields.nth(1)?, fields.next()?);
    Some((name, number.parse().ok()?, group.parse().ok()?))
}

/// Name, number and members of a line `name:password:number:member,member`.
fn group_entry(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let (name, number, members) = (fields.next()?, fields.nth(1)?, fields.next()?);
    Some((name, number.parse().ok()?, members))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:50::/:\n\
        also-ann:x:1000:1000::/:\nnonsense\nx:y:z:0:\n";
    const GROUPS: &str =
        "root:x:0:\noperators:x:50:ann, cid\nann:x:1000:\nothers:x:60:also-ann\n60:x:70:\nbroken:x:\n";

    #[test]
    fn a_group_is_found_by_its_name_or_number() {
        for (named, number) in [("operators", Some(50)), ("60", Some(70)), ("61", Some(61)), ("broken", None)]
        {
            assert_eq!(group_in(GROUPS, named), number, "{named}");
        }
    }

    #[test]
    fn a_group_of_ones_own_has_nobody_else_in_it() {
        let has_others = |group, user| has_others_in(USERS, GROUPS, group, user);
        assert!(!has_others(1000, 1000) && !has_others(0, 1000) && !has_others(60, 1000));
        assert!(has_others(1000, 1001), "it is another one's");
        assert!(has_others(50, 1000) && has_others(50, 1001), "there are several");
        assert!(has_others(99, 1000), "nobody knows it");
    }

    #[test]
    fn members_are_those_of_either_file() {
        let is_member = |user, group| is_member_in(USERS, GROUPS, user, group);
        assert!(is_member(1000, 50), "the group names the user");
        assert!(is_member(1001, 50), "it is the user's own");
        assert!(is_member(1000, 60), "by another name");
        assert!(!is_member(1001, 60) && !is_member(7, 50) && !is_member(0, 50));
    }
}
