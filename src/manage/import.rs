//! Definitions, imported: a file comes in a request or is loaded at the start, and all of it is one change of the catalog (semantics
//! 20.8). What a file says is read in `definitions_file`; how it is carried out is the catalog's.

use std::path::Path;
use std::pin::Pin;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::{spawn_blocking, yield_now};
use tracing::{info, warn};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clients::is_asked;
use super::definitions_file::Definitions;
use crate::catalog::MOST_COST_OF_IMPORT;
use crate::catalog::import_preview::{ImportPreview, Named};
use crate::catalog::view::View;
use crate::model::administration::{Change, ImportItem, LeftOut};
use crate::server::Administrator;

/// Where the hash of the last file is kept that was loaded at a start.
const HASH: &str = "imported_definition_hash_value";
/// Lines of the log about what one import leaves out.
const MOST_LOGGED: usize = 100;

/// Imports what the body says, or a part `file` of a form. With `strict=true` nothing is imported where something cannot be; with
/// `dry_run=true` nothing in any case, and it is told what would become of it.
pub(super) async fn post(call: &mut Call<'_>, vhost: Option<&str>) -> Outcome {
    let vhost = match vhost {
        None => None,
        Some(name) => Some(call.vhost_to_change(name)?),
    };
    let strict = is_asked(call, "strict");
    let (body, turn) = call.large_body().await?;
    let form = boundary(call)?;
    // It takes a while, and the thread is not ours alone.
    let reading = spawn_blocking(move || {
        let file = match &form {
            None => &body,
            Some(boundary) => {
                part(&body, boundary).ok_or_else(|| Refusal::bad("the form has no part 'file'"))?
            }
        };
        Definitions::read(file, vhost.as_ref())
    });
    let read = reading.await.map_err(|_| Refusal::Stopping)??;
    if is_asked(call, "dry_run") {
        let foreseen = foresee(call.context.administrator.view(), read).await;
        drop(turn);
        return Ok(Answer::Found(foreseen));
    }
    let left_out = carry_out(&call.context.administrator, read, strict).await?;
    drop(turn);
    if left_out.is_empty() {
        return Ok(Answer::Done);
    }
    Ok(Answer::Found(json!({"left_out": left_out})))
}

/// What an import would do. What others change meanwhile is as it is found.
async fn foresee(view: &View, read: Definitions) -> Value {
    let Definitions { items, left_out: mut refused } = read;
    let mut preview = ImportPreview::default();
    let mut items = items.iter();
    while look_at_some(&mut preview, &mut items, view) {
        yield_now().await;
    }
    refused.append(preview.left_out);
    json!({
        "made": named(&preview.made),
        "changed": named(&preview.changed),
        "left_alone": preview.left_alone,
        "left_out": refused.into_lines(),
    })
}

/// As many as a step of an import checks; whether there are more.
fn look_at_some<'a>(
    preview: &mut ImportPreview,
    items: &mut impl Iterator<Item = &'a ImportItem>,
    view: &View,
) -> bool {
    let state = view.read();
    let mut cost = 0;
    while cost < MOST_COST_OF_IMPORT {
        let Some(item) = items.next() else { return false };
        cost += preview.look_at(&state, item);
    }
    true
}

fn named(named: &Named) -> Value {
    let things = named.things.iter().map(|thing| {
        let mut described = json!({"kind": thing.kind, "name": thing.name});
        if let Some(vhost) = &thing.vhost {
            described["vhost"] = (**vhost).into();
        }
        described
    });
    json!({"total": named.total, "things": things.collect::<Vec<_>>()})
}

/// Loads a file at the start of the broker. With `skip_if_unchanged` not where the same was loaded before.
pub(super) fn load<'a>(
    file: &'a Path,
    skip_if_unchanged: bool,
    administrator: &'a Administrator,
) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
    Box::pin(async move {
        // At the start nobody else waits for the thread.
        let text = std::fs::read(file).map_err(|error| error.to_string())?;
        let hash = Value::from(BASE64_STANDARD.encode(Sha256::digest(&text))).to_string();
        if skip_if_unchanged && administrator.view().read().global_parameter(HASH) == Some(&hash) {
            info!(file = %file.display(), "the definitions are those that were loaded before");
            return Ok(());
        }
        let mut read = Definitions::read(&text, None).map_err(|refusal| refusal.text())?;
        let remember = Change::SetGlobalParameter { name: HASH.into(), value: Some(hash) };
        read.items.push(ImportItem::Change(remember));
        let items = read.items.len() - 1;
        let left_out = carry_out(administrator, read, false).await.map_err(|refusal| refusal.text())?;
        info!(file = %file.display(), items, left_out = left_out.len(), "the definitions are loaded");
        Ok(())
    })
}

async fn carry_out(
    administrator: &Administrator,
    read: Definitions,
    strict: bool,
) -> Result<Vec<String>, Refusal> {
    let Definitions { items, mut left_out } = read;
    let refused = |why: LeftOut| Refusal::Bad(json!({"not_imported": why.into_lines()}));
    if strict && !left_out.is_empty() {
        return Err(refused(left_out));
    }
    left_out.append(administrator.import(items, strict).await?.map_err(refused)?);
    let left_out = left_out.into_lines();
    for what in left_out.iter().take(MOST_LOGGED) {
        warn!(%what, "definitions were imported without this");
    }
    Ok(left_out)
}

/// Where the body is a form, what its parts are divided by.
fn boundary(call: &Call<'_>) -> Result<Option<String>, Refusal> {
    let content_type =
        call.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Some(parameters) = content_type.strip_prefix("multipart/form-data") else { return Ok(None) };
    let boundary = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("boundary="))
        .ok_or_else(|| Refusal::bad("a form needs a boundary"))?;
    Ok(Some(boundary.trim_matches('"').to_owned()))
}

/// The content of the part `file` of a form.
fn part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let mark = format!("--{boundary}").into_bytes();
    let mut rest = &body[find(body, &mark)? + mark.len()..];
    let end = [b"\r\n", &mark[..]].concat();
    loop {
        let length = find(rest, &end)?;
        let part = &rest[..length];
        rest = &rest[length + end.len()..];
        let head_ends = find(part, b"\r\n\r\n")?;
        if find(&part[..head_ends], b"name=\"file\"").is_some() {
            return Some(&part[head_ends + 4..]);
        }
    }
}

/// In linear time.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_a_file_in_it() {
        let body = b"--b\r\ncontent-disposition: form-data; name=\"other\"\r\n\r\nx\r\n--b\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{\"a\":1}\r\n--b--\r\n";
        assert_eq!(part(body, "b"), Some(&b"{\"a\":1}"[..]));
        for none in [&b"--b--\r\n"[..], b"", b"--b\r\nname=\"file\"\r\n\r\nx"] {
            assert_eq!(part(none, "b"), None);
        }
    }
}
