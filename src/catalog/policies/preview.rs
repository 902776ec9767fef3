//! What would apply if a policy was put or deleted: nothing is changed, and nobody else sees it.

use std::cmp::Reverse;

use super::{Applying, Policies, Policy, Ranked, Subject, check, strongest};
use crate::catalog::pattern::{MatchBudget, Pattern};
use crate::model::administration::{AdministrationError, PolicyKind, PolicySpec};
use crate::model::ids::Name;

/// A change of the policies of a vhost.
pub struct Preview {
    kind: PolicyKind,
    name: Name,
    /// None: it is deleted.
    policy: Option<Policy>,
}

impl Preview {
    /// As if this policy was put, in place of one of its name. The error is what would be said to it; whether a policy may have the
    /// name is not looked at.
    pub fn of_put(kind: PolicyKind, name: Name, spec: PolicySpec) -> Result<Preview, AdministrationError> {
        let pattern = check(kind, &spec, Pattern::parse(&spec.pattern))?;
        Ok(Preview { kind, policy: Some(Policy::new(name.clone(), spec, pattern)), name })
    }

    /// As if the policy of this name was deleted.
    #[must_use]
    pub fn of_deletion(kind: PolicyKind, name: Name) -> Preview {
        Preview { kind, name, policy: None }
    }

    /// What would apply to a queue or exchange of this name.
    pub(crate) fn applying(&self, policies: &Policies, subject: Subject, name: &str) -> Applying {
        let mut budget = MatchBudget::default();
        let news = &policies.has_news;
        let mut of = |kind, ranked| {
            if kind == self.kind {
                strongest(self.changed(ranked), subject, name, &mut budget, news)
            } else {
                strongest(ranked.in_order(), subject, name, &mut budget, news)
            }
        };
        let operator = of(PolicyKind::Operator, &policies.operator);
        let regular = of(PolicyKind::Regular, &policies.regular);
        policies.together(regular, operator)
    }

    /// Policies of the kind in order, after the change.
    fn changed<'a>(&'a self, ranked: &'a Ranked) -> impl Iterator<Item = &'a Policy> {
        let others = || ranked.in_order().filter(|policy| policy.name != self.name);
        let rank = |policy: &Policy| (Reverse(policy.spec.priority), policy.name.clone());
        let is_before =
            move |policy: &&Policy| self.policy.as_ref().is_some_and(|new| rank(policy) < rank(new));
        others().take_while(is_before).chain(&self.policy).chain(others().skip_while(is_before))
    }
}

#[cfg(test)]
mod tests {
    use leveret_codec::table::{AMQPValue, FieldTable};

    use super::*;
    use crate::model::administration::ApplyTo;
    use crate::model::settings::QueueType;

    fn spec(pattern: &str, priority: i64, length: i32) -> PolicySpec {
        let mut definition = FieldTable::default();
        definition.insert("max-length".into(), AMQPValue::LongInt(length));
        PolicySpec { pattern: pattern.into(), apply_to: ApplyTo::Queues, priority, definition }
    }

    /// Whatever is previewed is what applies once it is done.
    #[test]
    fn what_is_foreseen_is_what_comes() {
        let names = ["a", "ab", "b", "orders"];
        let existing = [("m", "^a", 5, 10), ("k", "b", 5, 20), ("z", "", -1, 30)];
        for kind in [PolicyKind::Regular, PolicyKind::Operator] {
            let all = || {
                let mut policies = Policies::default();
                for (name, pattern, priority, length) in existing {
                    for kind in [PolicyKind::Regular, PolicyKind::Operator] {
                        let spec = spec(pattern, priority, length);
                        policies.put(kind, Policy::recovered(name.into(), spec));
                    }
                }
                policies
            };
            let mut changes = 0;
            for name in ["m", "k", "z", "a", "l", "zz"] {
                for priority in [-2, -1, 5, 6] {
                    let new = spec("^a|o", priority, 7);
                    let preview = Preview::of_put(kind, name.into(), new.clone()).unwrap();
                    let mut after = all();
                    after.put(kind, Policy::recovered(name.into(), new));
                    changes += compare(&preview, &all(), &after, &names);
                }
                let preview = Preview::of_deletion(kind, name.into());
                let mut after = all();
                after.remove(kind, name);
                changes += compare(&preview, &all(), &after, &names);
            }
            assert!(changes > 20, "{changes}");
        }
    }

    /// Returns how many would change.
    fn compare(preview: &Preview, before: &Policies, after: &Policies, names: &[&str]) -> usize {
        let mut changed = 0;
        for name in names {
            for subject in [Subject::Queue(QueueType::Classic), Subject::Exchange] {
                let foreseen = preview.applying(before, subject, name);
                assert_eq!(foreseen, after.applying(subject, name), "{name} {subject:?}");
                changed += usize::from(foreseen != before.applying(subject, name));
            }
        }
        changed
    }

    #[test]
    fn what_could_not_be_put_is_refused() {
        let wrong = Preview::of_put(PolicyKind::Regular, "p".into(), spec("(", 0, 1));
        assert!(matches!(wrong, Err(AdministrationError::Invalid(_))));
        assert!(Preview::of_put(PolicyKind::Regular, "p".into(), spec("a", 0, -1)).is_err());
    }
}
