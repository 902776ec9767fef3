//! Policies and operator policies: what administrators ask of queues and exchanges by name (semantics section 17).
//! Which of them apply, and what they say together. What a definition may hold is in `definition`, what it makes of a
//! queue's own settings in `settings`, what a change would lead to in `preview`; when they are applied anew is the catalog's.

mod definition;
mod preview;
mod settings;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use leveret_codec::table::FieldTable;

use crate::catalog::arguments::string;
use crate::catalog::pattern::{GaveUp, MatchBudget, Pattern};
use crate::model::administration::{ApplyTo, PolicyKind, PolicySpec};
use crate::model::ids::Name;
use crate::model::settings::QueueType;

pub(crate) use definition::check;
pub use definition::{has_meaning, printed};
pub use preview::Preview;
pub(crate) use settings::effective;

/// The argument of an exchange, and the key of a policy.
pub(crate) const ALTERNATE: &str = "alternate-exchange";

/// A policy, ready to be matched.
#[derive(Debug)]
pub struct Policy {
    pub name: Name,
    pub spec: PolicySpec,
    /// What the spec says, for all to share that the policy alone applies to.
    definition: Arc<FieldTable>,
    pattern: Pattern,
    /// A name could not be matched in reasonable time, and nobody has been told so.
    given_up: AtomicU8,
}

/// States of `given_up`.
const NEVER: u8 = 0;
const UNTOLD: u8 = 1;
const TOLD: u8 = 2;

impl Policy {
    /// One whose expression was read before, which may take a while.
    pub(crate) fn new(name: Name, spec: PolicySpec, pattern: Pattern) -> Policy {
        let definition = Arc::new(spec.definition.clone());
        Policy { name, pattern, spec, definition, given_up: AtomicU8::new(NEVER) }
    }

    /// One that was checked when it was put.
    pub(crate) fn recovered(name: Name, spec: PolicySpec) -> Policy {
        let pattern = Pattern::new(&spec.pattern);
        Policy::new(name, spec, pattern)
    }
}

/// What a policy may apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Queue(QueueType),
    Exchange,
}

impl Subject {
    fn is_meant(self, by: ApplyTo) -> bool {
        match by {
            ApplyTo::All => true,
            ApplyTo::Queues => matches!(self, Subject::Queue(_)),
            ApplyTo::ClassicQueues => self == Subject::Queue(QueueType::Classic),
            ApplyTo::QuorumQueues => self == Subject::Queue(QueueType::Quorum),
            ApplyTo::Exchanges => self == Subject::Exchange,
            ApplyTo::Streams => false,
        }
    }
}

/// The policies of a vhost.
#[derive(Debug, Default)]
pub struct Policies {
    regular: Ranked,
    operator: Ranked,
    /// What no policies say.
    nothing: Arc<FieldTable>,
    /// One of them was given up on a name, and nobody has been told so.
    has_news: AtomicBool,
}

/// Policies of a kind.
#[derive(Debug, Default)]
struct Ranked {
    by_name: BTreeMap<Name, Policy>,
    /// The one that applies before all others is the first.
    ranks: BTreeSet<(Reverse<i64>, Name)>,
}

impl Ranked {
    fn put(&mut self, policy: Policy) -> bool {
        let was_there = self.remove(&policy.name);
        self.ranks.insert((Reverse(policy.spec.priority), policy.name.clone()));
        self.by_name.insert(policy.name.clone(), policy);
        was_there
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some(policy) = self.by_name.remove(name) else { return false };
        self.ranks.remove(&(Reverse(policy.spec.priority), policy.name));
        true
    }

    /// The one that applies before all others first.
    fn in_order(&self) -> impl Iterator<Item = &Policy> {
        self.ranks.iter().filter_map(|(_, policy)| self.by_name.get(policy))
    }
}

/// The first one that matches, of policies in order of their ranks.
fn strongest<'a>(
    mut policies: impl Iterator<Item = &'a Policy>,
    subject: Subject,
    name: &str,
    budget: &mut MatchBudget,
    has_news: &AtomicBool,
) -> Option<&'a Policy> {
    policies.find(|policy| {
        let is_meant = subject.is_meant(policy.spec.apply_to);
        is_meant
            && policy.pattern.search(name, budget).unwrap_or_else(|GaveUp| {
                let (old, new, order) = (NEVER, UNTOLD, Ordering::Relaxed);
                if policy.given_up.compare_exchange(old, new, order, order).is_ok() {
                    has_news.store(true, Ordering::Relaxed);
                }
                false
            })
    })
}

/// The policies that apply to a queue or exchange, and what they say together (semantics 17.5).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applying {
    pub regular: Option<Name>,
    pub operator: Option<Name>,
    /// Shared where one policy alone says it: a policy is usually for many.
    pub definition: Arc<FieldTable>,
}

impl Policies {
    /// Adds or replaces a policy. Returns whether there was one of this name.
    pub(crate) fn put(&mut self, kind: PolicyKind, policy: Policy) -> bool {
        self.of(kind).put(policy)
    }

    pub(crate) fn remove(&mut self, kind: PolicyKind, name: &str) -> bool {
        self.of(kind).remove(name)
    }

    #[must_use]
    pub fn get(&self, kind: PolicyKind, name: &str) -> Option<&Policy> {
        match kind {
            PolicyKind::Regular => self.regular.by_name.get(name),
            PolicyKind::Operator => self.operator.by_name.get(name),
        }
    }

    /// All policies, in order of kind and name.
    pub fn iter(&self) -> impl Iterator<Item = (PolicyKind, &Policy)> {
        let regular = self.regular.by_name.values().map(|policy| (PolicyKind::Regular, policy));
        regular.chain(self.operator.by_name.values().map(|policy| (PolicyKind::Operator, policy)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.regular.by_name.len() + self.operator.by_name.len()
    }

    /// Those whose pattern was given up on a name, which counts as no match; each is told of once.
    pub(crate) fn take_given_up(&self) -> Vec<Name> {
        if !self.has_news.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.has_news.store(false, Ordering::Relaxed);
        let is_news = |policy: &&Policy| {
            policy.given_up.load(Ordering::Relaxed) == UNTOLD
                && policy.given_up.swap(TOLD, Ordering::Relaxed) == UNTOLD
        };
        self.iter().map(|(_, policy)| policy).filter(is_news).map(|policy| policy.name.clone()).collect()
    }

    /// What applies to a queue or exchange of this name (semantics 17.1).
    pub(crate) fn applying(&self, subject: Subject, name: &str) -> Applying {
        // Those of operators come first: nobody else's may use up what there is to be spent on a name.
        let mut budget = MatchBudget::default();
        let operator = strongest(self.operator.in_order(), subject, name, &mut budget, &self.has_news);
        let regular = strongest(self.regular.in_order(), subject, name, &mut budget, &self.has_news);
        self.together(regular, operator)
    }

    /// What two of them say, of which either may be none.
    fn together(&self, regular: Option<&Policy>, operator: Option<&Policy>) -> Applying {
        let definition = match (regular, operator) {
            (None, None) => Arc::clone(&self.nothing),
            (Some(only), None) | (None, Some(only)) => Arc::clone(&only.definition),
            (Some(regular), Some(operator)) => Arc::new(bounded(&regular.definition, &operator.definition)),
        };
        Applying {
            regular: regular.map(|policy| policy.name.clone()),
            operator: operator.map(|policy| policy.name.clone()),
            definition,
        }
    }

    fn of(&mut self, kind: PolicyKind) -> &mut Ranked {
        match kind {
            PolicyKind::Regular => &mut self.regular,
            PolicyKind::Operator => &mut self.operator,
        }
    }
}

/// What a policy says within the bounds of an operator's.
fn bounded(asked: &FieldTable, bounds: &FieldTable) -> FieldTable {
    let mut definition = asked.clone();
    for (key, bound) in bounds.inner() {
        let value =
            asked.inner().get(key).map_or(bound, |asked| definition::bounded(key.as_str(), asked, bound));
        definition.insert(key.clone(), value.clone());
    }
    definition
}

impl Applying {
    /// Where messages go that nothing matched: what an exchange's arguments say, or else what a policy does (semantics 5.7,
    /// 17.2).
    pub(crate) fn alternate(&self, arguments: &FieldTable) -> Option<Name> {
        [arguments, &*self.definition]
            .into_iter()
            .find_map(|table| table.inner().get(ALTERNATE).and_then(string))
            .map(Name::from)
    }
}

#[cfg(test)]
mod tests {
    use leveret_codec::table::AMQPValue;

    use super::*;

    fn policy(name: &str, pattern: &str, apply_to: ApplyTo, priority: i64, ttl: i32) -> Policy {
        let mut definition = FieldTable::default();
        definition.insert("message-ttl".into(), AMQPValue::LongInt(ttl));
        let spec = PolicySpec { pattern: pattern.into(), apply_to, priority, definition };
        Policy::recovered(name.into(), spec)
    }

    const CLASSIC: Subject = Subject::Queue(QueueType::Classic);

    #[test]
    fn the_highest_priority_that_matches_applies_and_the_first_name_among_equals() {
        let mut policies = Policies::default();
        for policy in [
            policy("b", "^o", ApplyTo::All, 1, 10),
            policy("a", "rder", ApplyTo::Queues, 1, 20),
            policy("x", "^none", ApplyTo::All, 9, 30),
            policy("e", "", ApplyTo::Exchanges, 5, 40),
            policy("q", "", ApplyTo::QuorumQueues, 7, 50),
        ] {
            policies.put(PolicyKind::Regular, policy);
        }
        let names = |subject, name| policies.applying(subject, name).regular;
        assert_eq!(names(CLASSIC, "orders").as_deref(), Some("a"));
        assert_eq!(names(CLASSIC, "o").as_deref(), Some("b"));
        assert_eq!(names(Subject::Exchange, "o").as_deref(), Some("e"));
        assert_eq!(names(Subject::Queue(QueueType::Quorum), "o").as_deref(), Some("q"));
        assert_eq!(names(CLASSIC, "zzz"), None);
        assert_eq!(policies.iter().count(), 5);
    }

    #[test]
    fn all_policies_together_may_cost_a_name_so_much_and_the_strongest_come_first() {
        let mut policies = Policies::default();
        for number in 0..1000 {
            let nasty = policy(&format!("n{number}"), r"^(a|aa)+(?=b)\1?b$|^a+", ApplyTo::All, 1, 10);
            policies.put(PolicyKind::Regular, nasty);
        }
        policies.put(PolicyKind::Regular, policy("weak", "^a", ApplyTo::All, 0, 20));
        policies.put(PolicyKind::Operator, policy("o", "^a", ApplyTo::All, 0, 30));
        let name = "a".repeat(30);
        let applying = policies.applying(CLASSIC, &name);
        assert_eq!(applying.operator.as_deref(), Some("o"));
        assert_eq!(applying.regular, None, "it was not reached");
        assert_eq!(policies.take_given_up().len(), 1001, "and that is told");
        assert!(policies.take_given_up().is_empty(), "once");
        policies.put(PolicyKind::Regular, policy("weak", "^a", ApplyTo::All, 2, 20));
        assert_eq!(policies.applying(CLASSIC, &name).regular.as_deref(), Some("weak"));
        policies.remove(PolicyKind::Regular, "weak");
        assert_eq!(policies.applying(CLASSIC, "b").regular, None);
        assert!(policies.take_given_up().is_empty(), "they do not match, and that is soon known");
    }

    #[test]
    fn an_operator_bounds_numbers_and_has_the_last_word_otherwise() {
        let mut policies = Policies::default();
        policies.put(PolicyKind::Regular, policy("p", "", ApplyTo::All, 0, 100));
        let mut spec = policy("o", "", ApplyTo::All, 0, 50).spec;
        spec.definition.insert("overflow".into(), AMQPValue::LongString("reject-publish".into()));
        policies.put(PolicyKind::Operator, Policy::recovered("o".into(), spec));
        let applying = policies.applying(CLASSIC, "q");
        assert_eq!(applying.definition.inner().get("message-ttl"), Some(&AMQPValue::LongInt(50)));
        assert_eq!(applying.definition.inner().len(), 2);
        assert_eq!(applying.operator.as_deref(), Some("o"));
        policies.remove(PolicyKind::Operator, "o");
        let applying = policies.applying(CLASSIC, "q");
        assert_eq!(applying.definition.inner().get("message-ttl"), Some(&AMQPValue::LongInt(100)));
    }
}
