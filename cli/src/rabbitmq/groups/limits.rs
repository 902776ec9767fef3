//! Limits of vhosts and users, as both are told and listed.

use serde_json::{Map, Value};

use crate::rabbitmq::output::Rows;
use crate::rabbitmq::term::Term;

/// Limits by name, if there are no others than these and all are numbers; or what is wrong.
pub(super) fn checked<'a>(
    limits: &'a Value,
    known: &[&str],
    what: &str,
) -> Result<Vec<(&'a str, &'a Value)>, String> {
    let limits = limits.as_object().ok_or_else(|| {
        format!(
            "{what} should be a JSON object, as in {{\"{}\": 10}}",
            known.first().copied().unwrap_or_default()
        )
    })?;
    let unknown: Vec<String> = limits
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .map(|(name, value)| {
            format!("{{{},{}}}", Term::from(name.as_str()).erlang(), Term::of(value).erlang())
        })
        .collect();
    if !unknown.is_empty() {
        return Err(format!("Unrecognised terms [{}] in {what}", unknown.join(",")));
    }
    if let Some((name, value)) = limits.iter().find(|(_, value)| !value.is_i64()) {
        return Err(format!("{name} should be a number, actually was {}", Term::of(value).erlang()));
    }
    Ok(limits.iter().map(|(name, value)| (name.as_str(), value)).collect())
}

/// Those of several, each with its owner: a vhost or a user.
pub(super) fn rows(owner: &str, limits: &Value) -> Rows {
    let row = |of: &Value| vec![Term::of(&of[owner]), Term::Text(sorted(&of["value"]).to_string())];
    Rows::new([owner, "limits"], limits.as_array().into_iter().flatten().map(row).collect())
}

/// With names in order.
pub(super) fn sorted(limits: &Value) -> Value {
    let mut fields: Vec<(String, Value)> =
        limits.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    Value::Object(fields.into_iter().collect::<Map<_, _>>())
}
