//! Pages of listings (semantics 20.4): what a query asks for, which names are in it, and what stands around the items. Where
//! the names come from is `listing`'s.

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use serde_json::{Value, json};

use super::percent;
use super::sort::Sort;

/// Items of a page where nothing is said, and at the most.
const ITEMS: i128 = 100;
const MOST_ITEMS: i128 = 500;
/// Bytes of an expression once it is compiled; a larger one finds nothing.
const MOST_COMPILED: usize = 256 << 10;

/// A page that was asked for.
#[derive(Debug)]
pub(super) struct Page {
    /// From 1.
    number: i128,
    size: i128,
    filter: Filter,
    /// What is on it is known only once all are in the order that is asked for.
    is_sorted: bool,
}

/// Why there is no such page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoPage {
    /// How that is called.
    pub(super) error: &'static str,
    pub(super) reason: String,
}

/// Which names are wanted. Large and small letters are the same.
#[derive(Debug)]
enum Filter {
    Containing(String),
    Matching(Box<Regex>),
    /// An expression that cannot be used finds nothing, as in RabbitMQ.
    Nothing,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// All that the caller sees.
    total: u64,
    /// Those of them that are wanted.
    filtered: u64,
}

impl Page {
    /// What a query asks for; None where it says nothing of a page. 400 where its numbers are none, or none that can be.
    pub(super) fn read(query: Option<&str>) -> Result<Option<Page>, NoPage> {
        let query = query.unwrap_or_default();
        let Some(number) = value(query, "page") else { return Ok(None) };
        let integer = |text: Option<String>| text.and_then(|text| text.parse::<i128>().ok());
        let invalid = || NoPage { error: "bad_request", reason: "Pagination parameters are invalid".into() };
        let number = integer(number).ok_or_else(invalid)?;
        let given = value(query, "page_size").map(|size| integer(size).ok_or_else(invalid)).transpose()?;
        let size = given.unwrap_or(ITEMS);
        if number < 1 || !(1..=MOST_ITEMS).contains(&size) {
            let size = given.map_or_else(|| "undefined".to_owned(), |size| size.to_string());
            let reason = format!("Invalid pagination parameters: page number {number}, page size {size}");
            return Err(NoPage { error: "invalid_pagination_parameters", reason });
        }
        let name = value(query, "name").flatten().unwrap_or_default();
        let filter = if value(query, "use_regex").flatten().as_deref() == Some("true") {
            compile(&name).map_or(Filter::Nothing, |regex| Filter::Matching(Box::new(regex)))
        } else {
            Filter::Containing(name.to_lowercase())
        };
        Ok(Some(Page { number, size, filter, is_sorted: Sort::read(Some(query)).is_some() }))
    }

    /// Counts a name. Whether it is on the page; where an order is asked for, whether it may be.
    pub(super) fn has(&self, name: &str, found: &mut Found) -> bool {
        let before = i128::from(found.filtered);
        self.wants(name, found) && (self.is_sorted || before / self.size == self.number - 1)
    }

    /// Counts a name. Whether it is wanted.
    pub(super) fn wants(&self, name: &str, found: &mut Found) -> bool {
        found.total += 1;
        let is_wanted = self.filter.wants(name);
        found.filtered += u64::from(is_wanted);
        is_wanted
    }

    /// How many stand before the page, and where it ends.
    pub(super) fn part(&self) -> (usize, usize) {
        let at = |number: i128| usize::try_from(number.saturating_mul(self.size)).unwrap_or(usize::MAX);
        (at(self.number - 1), at(self.number))
    }

    /// Checks that there is such a page: the first one always is. 400 otherwise.
    pub(super) fn check(&self, found: Found) -> Result<(), NoPage> {
        if self.number == 1 || self.number <= self.pages(found) {
            return Ok(());
        }
        let (number, size, len) = (self.number, self.size, found.filtered);
        let reason = format!("Page out of range, page: {number} page size: {size}, len: {len}");
        Err(NoPage { error: "page_out_of_range", reason })
    }

    /// What is said besides the items, of which so many are there.
    pub(super) fn described(&self, found: Found, items: u64) -> Value {
        let small = |number| i64::try_from(number).unwrap_or(i64::MAX);
        json!({
            "filtered_count": found.filtered,
            "item_count": items,
            "page": small(self.number),
            "page_count": small(self.pages(found)),
            "page_size": small(self.size),
            "total_count": found.total,
        })
    }

    fn pages(&self, found: Found) -> i128 {
        (i128::from(found.filtered) + self.size - 1) / self.size
    }
}

impl Filter {
    fn wants(&self, name: &str) -> bool {
        match self {
            Filter::Containing(part) => part.is_empty() || name.to_lowercase().contains(part.as_str()),
            Filter::Matching(regex) => regex.is_match(name),
            Filter::Nothing => false,
        }
    }
}

/// None where it is no expression, or too large. Matching takes a time that grows with the name alone, whatever the expression.
fn compile(expression: &str) -> Option<Regex> {
    let config = Config::new()
        .nfa_size_limit(Some(MOST_COMPILED))
        .onepass_size_limit(Some(MOST_COMPILED))
        .hybrid_cache_capacity(MOST_COMPILED);
    let syntax = syntax::Config::new().case_insensitive(true);
    Regex::builder().configure(config).syntax(syntax).build(expression).ok()
}

/// The first value of this name in a query: None where there is none, and nothing in it where it cannot be decoded.
pub(super) fn value(query: &str, name: &str) -> Option<Option<String>> {
    let mut fields = query.split('&').map(|field| field.split_once('=').unwrap_or((field, "")));
    let (_, value) = fields.find(|(key, _)| *key == name)?;
    Some(percent::decode(&value.replace('+', " ")))
}

/// All values of this name that can be decoded.
pub(super) fn values(query: &str, name: &str) -> impl Iterator<Item = String> {
    let fields = query.split('&').map(|field| field.split_once('=').unwrap_or((field, "")));
    let named = fields.filter(move |(key, _)| *key == name);
    named.filter_map(|(_, value)| percent::decode(&value.replace('+', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Page {
        Page::read(Some(query)).unwrap().unwrap()
    }

    fn refused(query: &str) -> Option<(&'static str, String)> {
        Page::read(Some(query)).err().map(|NoPage { error, reason }| (error, reason))
    }

    /// Names on a page of all of these.
    fn on<'a>(page: &Page, names: &[&'a str]) -> Vec<&'a str> {
        let mut found = Found::default();
        names.iter().copied().filter(|name| page.has(name, &mut found)).collect()
    }

    #[test]
    fn only_a_page_number_makes_pages() {
        for query in ["", "page_size=5", "pagination=true&name=a", "pages=1", "xpage=1"] {
            assert!(Page::read(Some(query)).unwrap().is_none(), "{query}");
        }
        assert!(Page::read(None).unwrap().is_none());
        let kept = page("pagination=false&page=%2B2&page_size=007&page_size=9");
        assert_eq!((kept.number, kept.size), (2, 7));
        assert_eq!(page("page=1").size, 100);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for query in ["page=a", "page=", "page", "page=1.5", "page=%201", "page=1&page_size=", "page=%zz"] {
            let invalid = "Pagination parameters are invalid".to_owned();
            assert_eq!(refused(query), Some(("bad_request", invalid)), "{query}");
        }
        for (query, number, size) in [
            ("page=0", "0", "undefined"),
            ("page=-1", "-1", "undefined"),
            ("page=1&page_size=0", "1", "0"),
            ("page=1&page_size=501", "1", "501"),
        ] {
            let reason = format!("Invalid pagination parameters: page number {number}, page size {size}");
            assert_eq!(refused(query), Some(("invalid_pagination_parameters", reason)), "{query}");
        }
        assert_eq!(refused("page=1&page_size=500"), None);
    }

    #[test]
    fn names_are_found_by_a_part_or_an_expression() {
        let names = ["alpha", "Beta", "a.b", "ÄB"];
        assert_eq!(on(&page("page=1"), &names), names);
        assert_eq!(on(&page("page=1&name=BET"), &names), ["Beta"]);
        assert_eq!(on(&page("page=1&name=a.b"), &names), ["a.b"]);
        assert_eq!(on(&page("page=1&name=E%3F.A%24&use_regex=true"), &names), ["alpha", "Beta"]);
        assert_eq!(on(&page("page=1&name=%C3%A4b&use_regex=true"), &names), ["ÄB"]);
        assert_eq!(on(&page("page=1&name=b&use_regex=false"), &names), ["Beta", "a.b", "ÄB"]);
        assert!(on(&page("page=1&name=(&use_regex=true"), &names).is_empty());
        let large = page("page=1&name=(((a%7B100%7D)%7B100%7D)%7B100%7D)&use_regex=true");
        assert!(matches!(large.filter, Filter::Nothing));
    }

    #[test]
    fn pages_are_cut_from_what_is_wanted() {
        let names: Vec<String> =
            (0..17).map(|number| format!("{}{number:02}", ["q", "x"][number % 2])).collect();
        let cut = |query: &str| {
            let (page, mut found) = (page(query), Found::default());
            let on = names.iter().filter(|name| page.has(name, &mut found)).count();
            (on, page.check(found).is_ok(), page.described(found, on as u64))
        };
        let (on, is_there, described) = cut("page=2&page_size=4&name=q");
        assert_eq!((on, is_there), (4, true));
        let expected = json!({
            "filtered_count": 9, "item_count": 4, "page": 2, "page_count": 3, "page_size": 4, "total_count": 17
        });
        assert_eq!(described, expected);
        assert_eq!(cut("page=3&page_size=4&name=q").0, 1);
        assert!(!cut("page=4&page_size=4&name=q").1);
        let nothing = cut("page=1&name=nothing");
        assert_eq!((nothing.0, nothing.1, &nothing.2["page_count"]), (0, true, &json!(0)));
        assert!(!cut("page=99999999999999999999999").1);
    }
}
