//! The order that a query asks for: `sort=messages&sort_reverse=true`. A dotted name leads into objects; what a thing has not counts
//! as 0, so a name that nothing has is no error. What is alike keeps the order it would have by itself.

use std::cmp::Ordering;

use serde_json::Value;

use super::page;

/// More items than so many beyond those of a page are never held.
const SPARE: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    /// Empty where it is the order that there is by itself.
    path: Vec<String>,
    is_reverse: bool,
}

/// What is sorted by, in Erlang's order of types, by which RabbitMQ sorts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortKey {
    Number(Number),
    /// `false`, `null`, `true`: the order of their letters.
    Word(u8),
    Object,
    Array,
    Text(Box<str>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Number(f64);

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl From<u64> for SortKey {
    #[allow(clippy::cast_precision_loss, reason = "no count is that large")]
    fn from(number: u64) -> SortKey {
        SortKey::Number(Number(number as f64))
    }
}

impl From<Option<&Value>> for SortKey {
    fn from(value: Option<&Value>) -> SortKey {
        match value {
            None => SortKey::from(0),
            Some(Value::Number(number)) => SortKey::Number(Number(number.as_f64().unwrap_or(0.0))),
            Some(Value::Bool(false)) => SortKey::Word(0),
            Some(Value::Null) => SortKey::Word(1),
            Some(Value::Bool(true)) => SortKey::Word(2),
            Some(Value::Object(_)) => SortKey::Object,
            Some(Value::Array(_)) => SortKey::Array,
            Some(Value::String(text)) => SortKey::Text(text.as_str().into()),
        }
    }
}

impl Sort {
    /// None where the query asks for no order.
    pub(super) fn read(query: Option<&str>) -> Option<Sort> {
        let query = query.unwrap_or_default();
        let name = page::value(query, "sort").flatten().unwrap_or_default();
        let is_reverse = page::value(query, "sort_reverse").flatten().as_deref() == Some("true");
        let path: Vec<String> = name.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        (is_reverse || !path.is_empty()).then_some(Sort { path, is_reverse })
    }

    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    /// The items in this order.
    pub(super) fn arrange(&self, items: &mut [Value]) {
        items.sort_by_cached_key(|item| self.key(item));
        if self.is_reverse {
            items.reverse();
        }
    }

    pub(super) fn key(&self, item: &Value) -> SortKey {
        if self.path.is_empty() { SortKey::from(0) } else { find(item, &self.path).into() }
    }
}

/// The field that a dotted name leads to.
pub(super) fn find<'a>(item: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(item, |value, name| value.get(name))
}

/// Things that come in any order, and leave in the one asked for. Where a part of them is wanted, no more are held than are needed
/// to tell which these are.
#[derive(Debug)]
pub(super) struct Ranking<T> {
    is_reverse: bool,
    /// How many of the first are passed over, and the end of those that are wanted.
    part: Option<(usize, usize)>,
    things: Vec<(SortKey, T)>,
}

impl<T: Ord + Send + 'static> Ranking<T> {
    pub(super) fn new(is_reverse: bool, part: Option<(usize, usize)>) -> Ranking<T> {
        Ranking { is_reverse, part, things: Vec::new() }
    }

    pub(super) fn of(sort: &Sort, part: Option<(usize, usize)>) -> Ranking<T> {
        Ranking::new(sort.is_reverse, part)
    }

    pub(super) fn add(&mut self, key: SortKey, thing: T) {
        self.things.push((key, thing));
    }

    /// Whether some of them are to be dropped by [`Ranking::prune`].
    pub(super) fn is_long(&self) -> bool {
        self.part.is_some_and(|(_, end)| self.things.len() >= end.saturating_mul(2).saturating_add(SPARE))
    }

    /// Drops what is behind the wanted part, in a time that grows with how many there are.
    pub(super) fn prune(&mut self, dropped: impl FnMut(T)) {
        let Some((_, end)) = self.part.filter(|(_, end)| *end < self.things.len()) else { return };
        let is_reverse = self.is_reverse;
        self.things.select_nth_unstable_by(end, |one, other| order(is_reverse, one, other));
        self.things.drain(end..).map(|(_, thing)| thing).for_each(dropped);
    }

    pub(super) fn len(&self) -> usize {
        self.things.len()
    }

    /// Those that are wanted, in order.
    pub(super) fn finish(mut self) -> Vec<T> {
        let is_reverse = self.is_reverse;
        self.things.sort_unstable_by(|one, other| order(is_reverse, one, other));
        let (begin, end) = self.part.unwrap_or((0, usize::MAX));
        let wanted = self.things.into_iter().take(end).skip(begin);
        wanted.map(|(_, thing)| thing).collect()
    }
}

fn order<K: Ord>(is_reverse: bool, one: &K, other: &K) -> Ordering {
    let order = one.cmp(other);
    if is_reverse { order.reverse() } else { order }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The numbers of the items in this order, which is the same in both ways.
    fn sorted(query: &str, items: &Value) -> Vec<usize> {
        let sort = Sort::read(Some(query)).unwrap();
        let mut arranged = items.as_array().unwrap().clone();
        sort.arrange(&mut arranged);
        let mut ranking = Ranking::of(&sort, None);
        for (number, item) in items.as_array().unwrap().iter().enumerate() {
            ranking.add(sort.key(item), number);
        }
        let ranked = ranking.finish();
        assert_eq!(
            arranged,
            ranked.iter().map(|number| items[*number].clone()).collect::<Vec<_>>(),
            "{query}"
        );
        ranked
    }

    #[test]
    fn only_a_name_or_the_reverse_make_an_order() {
        for query in ["", "sort=", "sort_reverse=false", "sort_reverse", "sorted=a"] {
            assert_eq!(Sort::read(Some(query)), None, "{query}");
        }
        assert_eq!(Sort::read(None), None);
        assert_eq!(Sort::read(Some("sort=a.b")).unwrap().path(), ["a", "b"]);
        assert!(Sort::read(Some("sort_reverse=true")).unwrap().path().is_empty());
    }

    #[test]
    fn dotted_names_lead_into_objects_and_what_is_missing_is_0() {
        let items = json!([{"a": {"b": 3}}, {"a": {"b": -1}}, {"a": 5}, {}, {"a": {"b": 0.5}}]);
        assert_eq!(sorted("sort=a.b", &items), [1, 2, 3, 4, 0]);
        assert_eq!(sorted("sort=a.b&sort_reverse=true", &items), [0, 4, 3, 2, 1]);
        assert_eq!(sorted("sort=nothing", &items), [0, 1, 2, 3, 4]);
        assert_eq!(sorted("sort_reverse=true", &items), [4, 3, 2, 1, 0]);
    }

    #[test]
    fn types_have_erlangs_order() {
        let items = json!([{"a": "b"}, {"a": [1]}, {"a": {}}, {"a": true}, {"a": null}, {"a": false}, {"a": 9}, {"a": "B"}]);
        assert_eq!(sorted("sort=a", &items), [6, 5, 4, 3, 2, 1, 7, 0]);
    }

    #[test]
    fn of_a_part_no_more_is_held_than_tells_which_it_is() {
        let sort = Sort::read(Some("sort=n&sort_reverse=true")).unwrap();
        let mut ranking = Ranking::of(&sort, Some((10, 20)));
        for number in 0..10_000_u64 {
            let mixed = number.wrapping_mul(7_919) % 10_000;
            ranking.add(sort.key(&json!({"n": mixed})), mixed);
            if ranking.is_long() {
                ranking.prune(drop);
            }
            assert!(ranking.len() <= 20 * 2 + SPARE);
        }
        assert_eq!(ranking.finish(), (9_980..9_990).rev().collect::<Vec<_>>());
    }
}
