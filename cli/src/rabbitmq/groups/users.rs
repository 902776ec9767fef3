//! Users: their passwords, tags and limits. What they may do is another group's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use super::limits::{self, checked};
use super::{json_argument, no_such_user, password, user_path};
use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::{HEADERS, flag, text};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{ANY, Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, NO_USER, SOFTWARE, UNAVAILABLE, Wrong};

/// Bytes of salt in front of a hash.
const SALT: usize = 4;
const LIMITS: [&str; 2] = ["max-connections", "max-channels"];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "add_user",
        "<username> [<password>] [<password_hash> --pre-hashed-password]",
        "Makes a user, who may do nothing yet",
        add,
    )
    .takes(1, 2)
    .with(&[flag("pre-hashed-password")])
    .checks(is_addable)
    .says(|call| format!("Adding user \"{}\" ...", call.argument(0))),
    verb(
        "authenticate_user",
        "<username> <password>",
        "Says whether this is a user's password",
        authenticate,
    )
    .takes(1, 2)
    .says(|call| format!("Authenticating user \"{}\" ...", call.argument(0))),
    verb("change_password", "<username> <password>", "Gives a user another password", change_password)
        .takes(1, 2)
        .says(|call| format!("Changing password for user \"{}\" ...", call.argument(0))),
    verb(
        "clear_password",
        "<username>",
        "Takes a user's password away: nobody logs in with one",
        clear_password,
    )
    .takes(1, 1)
    .says(|call| format!("Clearing password for user \"{}\" ...", call.argument(0))),
    verb("clear_user_limits", "<username> <limit_type> | all", "Takes a user's limits away", clear_limits)
        .takes(2, 2)
        .says(|call| match call.argument(1) {
            "all" => format!("Clearing all limits for user \"{}\" ...", call.argument(0)),
            limit => format!("Clearing \"{limit}\" limit for user \"{}\" ...", call.argument(0)),
        }),
    verb("delete_user", "<username>", "Deletes a user, and closes the connections of it", delete)
        .takes(1, 1)
        .says(|call| format!("Deleting user \"{}\" ...", call.argument(0))),
    verb(
        "list_user_limits",
        "[--user <username>] [--global]",
        "Lists limits of a user, or of all",
        list_limits,
    )
    .of(CTL.and(DIAGNOSTICS))
    .with(&[text("user"), flag("global")])
    .says(|call| match call.words.is("global") {
        true => "Listing limits for all users ...".to_owned(),
        false => format!("Listing limits for user \"{}\" ...", limited_user(call)),
    }),
    verb("list_users", "[--no-table-headers] [--timeout <timeout>]", "Lists users and their tags", list)
        .of(CTL.and(DIAGNOSTICS))
        .with(HEADERS)
        .says(|_| "Listing users ...".to_owned()),
    verb(
        "set_user_limits",
        "<username> <definition>",
        "Limits a user's connections and channels",
        set_limits,
    )
    .takes(2, 2)
    .says(|call| {
        format!("Setting user limits to \"{}\" for user \"{}\" ...", call.argument(1), call.argument(0))
    }),
    verb("set_user_tags", "<username> <tag> [...]", "Gives a user these tags and no others", set_tags)
        .takes(1, ANY)
        .says(|call| {
            let tags = call.arguments().get(1..).unwrap_or_default().join(", ");
            format!("Setting tags for user \"{}\" to [{tags}] ...", call.argument(0))
        }),
];

pub(super) const HASHING: &[Verb] = &[verb(
    "hash_password",
    "<cleartext_password> [--hashing-algorithm <algorithm>]",
    "Hashes a password, as definitions hold it",
    hash_password,
)
.takes(0, 1)
.with(&[text("hashing-algorithm")])
.checks(|call| match call.arguments().first().map(String::as_str) {
    Some("") => Err(Invalid::argument("password cannot be an empty string")),
    _ => Ok(()),
})
.says(|call| match call.arguments() {
    [] => "Will hash provided password".to_owned(),
    [password, ..] => format!("Will hash password {password}"),
})];

fn is_addable(call: &Call<'_>) -> Result<(), Invalid> {
    if call.argument(0).is_empty() {
        return Err(Invalid::argument("user cannot be an empty string"));
    }
    let is_hash = || STANDARD.decode(call.argument(1)).is_ok();
    if call.words.is("pre-hashed-password") && !is_hash() {
        return Err(Invalid::argument("Could not Base64 decode provided password hash value"));
    }
    Ok(())
}

fn add(call: &Call<'_>) -> Answer {
    let user = call.argument(0);
    let password = password(call, 1)?;
    if call.get(user_path(user)).is_ok() {
        return Err(Wrong::error(SOFTWARE, format!("User \"{user}\" already exists")));
    }
    let field = if call.words.is("pre-hashed-password") { "password_hash" } else { "password" };
    call.put(user_path(user), &json!({ field: password, "tags": [] }))?;
    if call.words.is("quiet") || call.words.is("silent") {
        return Ok(Output::Nothing);
    }
    Ok(Output::line(
        "Done. Don't forget to grant the user permissions to some virtual hosts! \
         See 'rabbitmqctl help set_permissions' to learn more.",
    ))
}

fn authenticate(call: &Call<'_>) -> Answer {
    let user = call.argument(0);
    let login = json!({ "user": user, "password": password(call, 1)? });
    let answer = call.post(Path::api("leveret/authenticate"), Some(&login))?;
    if answer["authenticated"] == true {
        return Ok(Output::line("Success"));
    }
    let what = format!("Error: failed to authenticate user \"{user}\"\nuser '{user}' - invalid credentials");
    Err(Wrong::error(DATA_ERROR, what))
}

/// A user as the broker has it, to be changed and given back.
fn user(call: &Call<'_>, name: &str) -> Result<Value, Wrong> {
    call.get(user_path(name)).map_err(|failure| {
        missing(failure, || Wrong::error(NO_USER, format!("User \"{name}\" does not exist")))
    })
}

fn change_password(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    let password = password(call, 1)?;
    let user = user(call, name)?;
    call.put(user_path(name), &json!({ "password": password, "tags": user["tags"] }))?;
    Ok(Output::Nothing)
}

fn clear_password(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    let user = call.get(user_path(name)).map_err(|failure| missing(failure, || no_such_user(name)))?;
    call.put(user_path(name), &json!({ "password_hash": "", "tags": user["tags"] }))?;
    Ok(Output::Nothing)
}

fn set_tags(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    let user = user(call, name)?;
    let tags = call.arguments().get(1..).unwrap_or_default();
    let changed = json!({
        "password_hash": user["password_hash"],
        "hashing_algorithm": user["hashing_algorithm"],
        "tags": tags,
    });
    call.put(user_path(name), &changed)?;
    Ok(Output::Nothing)
}

fn delete(call: &Call<'_>) -> Answer {
    match call.delete(user_path(call.argument(0))) {
        Err(failure) if failure.status != Some(404) => Err(failure.into()),
        _ => Ok(Output::Nothing),
    }
}

fn list(call: &Call<'_>) -> Answer {
    let users = call.get(Path::api("users").query("columns", "name,tags"))?;
    let row = |user: &Value| {
        let tags = user["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        vec![Term::of(&user["name"]), Term::List(tags.map(Term::atom).collect())]
    };
    let rows = users.as_array().into_iter().flatten().map(row).collect();
    Ok(Output::Rows(Rows::new(["user", "tags"], rows)))
}

/// Whose limits are listed where nobody says it.
fn limited_user<'a>(call: &Call<'a>) -> &'a str {
    call.words.text("user").unwrap_or("guest")
}

fn list_limits(call: &Call<'_>) -> Answer {
    if call.words.is("global") {
        let limits = call.get(Path::api("user-limits"))?;
        return Ok(Output::Rows(limits::rows("user", &limits)));
    }
    let name = limited_user(call);
    call.get(user_path(name)).map_err(|failure| missing(failure, || no_such_user(name)))?;
    let limits = call.get(Path::api("user-limits").segment(name))?;
    let limits = limits.get(0).map_or_else(|| json!({}), |of| limits::sorted(&of["value"]));
    Ok(Output::line(limits.to_string()))
}

fn set_limits(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    let limits = json_argument(call.argument(1))?;
    let limits = checked(&limits, &LIMITS, "user-limits").map_err(|what| Wrong::error(UNAVAILABLE, what))?;
    call.get(user_path(name)).map_err(|failure| missing(failure, || no_such_user(name)))?;
    for (limit, value) in limits {
        call.put(Path::api("user-limits").segment(name).segment(limit), &json!({ "value": value }))?;
    }
    Ok(Output::Nothing)
}

fn clear_limits(call: &Call<'_>) -> Answer {
    let limits = match call.argument(1) {
        "all" => LIMITS.to_vec(),
        limit => vec![limit],
    };
    for limit in limits {
        match call.delete(Path::api("user-limits").segment(call.argument(0)).segment(limit)) {
            // A limit that was not there is gone.
            Err(failure) if !matches!(failure.status, Some(400 | 404)) => return Err(failure.into()),
            _ => {}
        }
    }
    Ok(Output::Nothing)
}

fn hash_password(call: &Call<'_>) -> Answer {
    let password = password(call, 0)?;
    let hash = hashed(&password, call.words.text("hashing-algorithm"));
    hash.map(Output::line).map_err(|what| Wrong::error(DATA_ERROR, what))
}

/// A password's hash with its salt, as definitions hold it; or why there is none.
pub(in crate::rabbitmq) fn hashed(password: &str, algorithm: Option<&str>) -> Result<String, String> {
    let mut salt = [0; SALT];
    rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| format!("there is no randomness for a salt: {error}"))?;
    let salted = [&salt, password.as_bytes()].concat();
    let hash = match algorithm {
        None | Some("rabbit_password_hashing_sha256" | "sha256") => Sha256::digest(salted).to_vec(),
        Some("rabbit_password_hashing_sha512" | "sha512") => Sha512::digest(salted).to_vec(),
        Some(other) => {
            return Err(format!("'{other}' is no way to hash that is known. Use sha256 or sha512."));
        }
    };
    Ok(STANDARD.encode([&salt[..], &hash].concat()))
}
