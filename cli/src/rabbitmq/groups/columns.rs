//! Columns that a caller picks: which there are, which are wanted, and the rows that follow.

use serde_json::Value;

use crate::broker::Path;
use crate::rabbitmq::call::Call;
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::Answer;
use crate::rabbitmq::wrong::Invalid;

pub(super) struct Column {
    pub(super) name: &'static str,
    /// The field of the management API that it is made of.
    pub(super) field: &'static str,
    pub(super) cell: fn(&Value) -> Term,
}

/// A column that is a field of this name, as it is.
macro_rules! fields {
    ($($name:literal),* $(,)?) => {
        &[$($crate::rabbitmq::groups::columns::Column {
            name: $name,
            field: $name,
            cell: |item| $crate::rabbitmq::term::Term::of(&item[$name]),
        }),*]
    };
}
pub(super) use fields;

/// The columns that are wanted, as words or with commas between them.
fn wanted<'a>(call: &Call<'a>) -> impl Iterator<Item = &'a str> {
    call.arguments().iter().flat_map(|words| words.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// Refuses columns that there are not.
pub(super) fn check(call: &Call<'_>, columns: &[&[Column]]) -> Result<(), Invalid> {
    let known = |name: &str| columns.iter().copied().flatten().any(|column| column.name == name);
    let mut unknown: Vec<&str> = wanted(call).filter(|name| !known(name)).collect();
    // The last comes first there.
    unknown.reverse();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Invalid::usage(format!("Info key(s) {} are not supported", unknown.join(","))))
}

/// The columns that are wanted, or these where none is named.
pub(super) fn chosen<'a>(call: &Call<'_>, columns: &[&'a [Column]], default: &[&str]) -> Vec<&'a Column> {
    let find = |name: &str| columns.iter().copied().flatten().find(|column| column.name == name);
    let named: Vec<&Column> = wanted(call).filter_map(find).collect();
    if named.is_empty() { default.iter().filter_map(|name| find(name)).collect() } else { named }
}

/// The fields that these columns are made of, for `columns=`.
pub(super) fn fields_of(columns: &[&Column]) -> String {
    let mut fields: Vec<&str> = columns.iter().map(|column| column.field).collect();
    fields.sort_unstable();
    fields.dedup();
    fields.join(",")
}

pub(super) fn rows(columns: &[&Column], items: &Value) -> Rows {
    let row = |item: &Value| columns.iter().map(|column| (column.cell)(item)).collect();
    let rows = items.as_array().into_iter().flatten().map(row).collect();
    Rows::new(columns.iter().map(|column| column.name), rows)
}

/// What there is of a kind in a vhost; nothing where there is no such vhost.
pub(super) fn list_of_vhost(call: &Call<'_>, kind: &str, columns: &[&Column]) -> Answer {
    let path = Path::api(kind).segment(call.vhost()).query("columns", &fields_of(columns));
    match call.get(path) {
        Ok(items) => Ok(Output::Rows(rows(columns, &items))),
        Err(failure) if failure.status == Some(404) => Ok(Output::Rows(rows(columns, &Value::Null))),
        Err(failure) => Err(failure.into()),
    }
}
