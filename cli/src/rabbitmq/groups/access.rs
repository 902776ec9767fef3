//! What users may do: permissions and topic permissions.

use serde_json::{Value, json};

use super::{no_such_user, no_such_vhost, of_user_in_vhost, rows, user_path};
use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::HEADERS;
use crate::rabbitmq::output::Output;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, Tools, Verb, verb};
use crate::rabbitmq::wrong::{NO_USER, UNAVAILABLE, Wrong};

const LISTED: Tools = CTL.and(DIAGNOSTICS);

pub(super) const VERBS: &[Verb] = &[
    verb(
        "clear_permissions",
        "[--vhost <vhost>] <username>",
        "Takes a user's permissions in a vhost away",
        clear,
    )
    .takes(1, 1)
    .says(|call| {
        format!("Clearing permissions for user \"{}\" in vhost \"{}\" ...", call.argument(0), call.vhost())
    }),
    verb(
        "clear_topic_permissions",
        "[--vhost <vhost>] <username> [<exchange>]",
        "Takes a user's permissions on topics away, of an exchange or of all",
        clear_of_topics,
    )
    .takes(1, 2)
    .says(|call| match call.arguments() {
        [user, exchange] => {
            format!(
                "Clearing topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{}\" ...",
                call.vhost()
            )
        }
        _ => {
            format!(
                "Clearing topic permissions for user \"{}\" in vhost \"{}\" ...",
                call.argument(0),
                call.vhost()
            )
        }
    }),
    verb(
        "list_permissions",
        "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]",
        "Lists what users may do in a vhost",
        list,
    )
    .of(LISTED)
    .with(HEADERS)
    .says(|call| format!("Listing permissions for vhost \"{}\" ...", call.vhost())),
    verb(
        "list_topic_permissions",
        "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]",
        "Lists what users may do with topics in a vhost",
        list_of_topics,
    )
    .of(LISTED)
    .with(HEADERS)
    .says(|call| format!("Listing topic permissions for vhost \"{}\" ...", call.vhost())),
    verb(
        "list_user_permissions",
        "[--no-table-headers] <username> [--timeout <timeout>]",
        "Lists what a user may do in each vhost",
        list_of_user,
    )
    .of(LISTED)
    .takes(1, 1)
    .with(HEADERS)
    .says(|call| format!("Listing permissions for user \"{}\" ...", call.argument(0))),
    verb(
        "list_user_topic_permissions",
        "[--no-table-headers] <username> [--timeout <timeout>]",
        "Lists what a user may do with topics in each vhost",
        list_of_user_and_topics,
    )
    .of(LISTED)
    .takes(1, 1)
    .with(HEADERS)
    .says(|call| format!("Listing topic permissions for user \"{}\" ...", call.argument(0))),
    verb(
        "set_permissions",
        "[--vhost <vhost>] <username> <conf> <write> <read>",
        "Says what a user may configure, write and read in a vhost",
        set,
    )
    .takes(4, 4)
    .says(|call| {
        format!("Setting permissions for user \"{}\" in vhost \"{}\" ...", call.argument(0), call.vhost())
    }),
    verb(
        "set_permissions_globally",
        "<username> <conf> <write> <read>",
        "Says what a user may configure, write and read in every vhost that there is",
        set_everywhere,
    )
    .takes(4, 4)
    .says(|call| format!("Setting permissions for user \"{}\" in all virtual hosts ...", call.argument(0))),
    verb(
        "set_topic_permissions",
        "[--vhost <vhost>] <username> <exchange> <write> <read>",
        "Says by which routing keys a user may write to and read from a topic exchange",
        set_of_topics,
    )
    .takes(4, 4)
    .says(|call| {
        let (user, exchange) = (call.argument(0), call.argument(1));
        format!(
            "Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{}\" ...",
            call.vhost()
        )
    }),
];

fn permissions(vhost: &str, user: &str) -> Path {
    Path::api("permissions").segment(vhost).segment(user)
}

fn topic_permissions(vhost: &str, user: &str) -> Path {
    Path::api("topic-permissions").segment(vhost).segment(user)
}

/// Done, also where there was nothing to be taken away.
fn gone(deleted: Result<(), crate::broker::Failure>) -> Answer {
    match deleted {
        Err(failure) if failure.status != Some(404) => Err(failure.into()),
        _ => Ok(Output::Nothing),
    }
}

fn clear(call: &Call<'_>) -> Answer {
    gone(call.delete(permissions(call.vhost(), call.argument(0))))
}

fn clear_of_topics(call: &Call<'_>) -> Answer {
    let path = topic_permissions(call.vhost(), call.argument(0));
    match call.arguments() {
        [_, exchange] => gone(call.delete(path.segment(exchange))),
        _ => gone(call.delete(path)),
    }
}

fn set(call: &Call<'_>) -> Answer {
    let user = call.argument(0);
    let put = call.put(permissions(call.vhost(), user), &patterns(call));
    put.map_err(|failure| of_user_in_vhost(call, failure, user))?;
    Ok(Output::Nothing)
}

fn patterns(call: &Call<'_>) -> Value {
    json!({ "configure": call.argument(1), "write": call.argument(2), "read": call.argument(3) })
}

fn set_everywhere(call: &Call<'_>) -> Answer {
    let user = call.argument(0);
    call.get(user_path(user)).map_err(|failure| {
        missing(failure, || Wrong::error(NO_USER, format!("User {user} does not exist")))
    })?;
    let vhosts = call.get(Path::api("vhosts").query("columns", "name"))?;
    for vhost in vhosts.as_array().into_iter().flatten().filter_map(|vhost| vhost["name"].as_str()) {
        call.put(permissions(vhost, user), &patterns(call))?;
    }
    Ok(Output::Nothing)
}

fn set_of_topics(call: &Call<'_>) -> Answer {
    let (user, exchange, vhost) = (call.argument(0), call.argument(1), call.vhost());
    let body = json!({ "exchange": exchange, "write": call.argument(2), "read": call.argument(3) });
    call.put(topic_permissions(vhost, user), &body).map_err(|failure| {
        let refused = of_user_in_vhost(call, failure, user);
        let is_there = Path::api("exchanges").segment(vhost).segment(exchange);
        match &refused {
            Wrong::Failed(_) if call.get(is_there).is_err_and(|failure| failure.status == Some(404)) => {
                Wrong::error(UNAVAILABLE, format!("Exchange {exchange} does not exist"))
            }
            _ => refused,
        }
    })?;
    Ok(Output::Nothing)
}

const PATTERNS: [(&str, &str); 3] = [("configure", "configure"), ("write", "write"), ("read", "read")];

fn list(call: &Call<'_>) -> Answer {
    let permissions = in_vhost(call, "permissions")?;
    Ok(Output::Rows(rows(&permissions, &[&[("user", "user")][..], &PATTERNS].concat())))
}

fn list_of_topics(call: &Call<'_>) -> Answer {
    let permissions = in_vhost(call, "topic-permissions")?;
    let columns = [("user", "user"), ("exchange", "exchange"), ("write", "write"), ("read", "read")];
    Ok(Output::Rows(rows(&permissions, &columns).listed_whole()))
}

/// What a vhost lists of this kind.
fn in_vhost(call: &Call<'_>, kind: &str) -> Result<Value, Wrong> {
    let vhost = call.vhost();
    let listed = call.get(Path::api("vhosts").segment(vhost).fixed(kind));
    listed.map_err(|failure| missing(failure, || no_such_vhost(vhost)))
}

fn list_of_user(call: &Call<'_>) -> Answer {
    let permissions = of_user(call, "permissions")?;
    Ok(Output::Rows(rows(&permissions, &[&[("vhost", "vhost")][..], &PATTERNS].concat()).listed_whole()))
}

fn list_of_user_and_topics(call: &Call<'_>) -> Answer {
    let permissions = of_user(call, "topic-permissions")?;
    let columns = [("vhost", "vhost"), ("exchange", "exchange"), ("write", "write"), ("read", "read")];
    Ok(Output::Rows(rows(&permissions, &columns).listed_whole().without_header()))
}

fn of_user(call: &Call<'_>, kind: &str) -> Result<Value, Wrong> {
    let user = call.argument(0);
    let listed = call.get(user_path(user).fixed(kind));
    listed.map_err(|failure| missing(failure, || no_such_user(user)))
}
