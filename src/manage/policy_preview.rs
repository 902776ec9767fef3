//! Which queues and exchanges would obey something else if a policy was put or deleted, and what. Nothing is changed; which policies
//! would apply is the catalog's to say.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::task::yield_now;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::json::from_table;
use super::policies;
use crate::catalog::policies::{Applying, Preview, Subject};
use crate::catalog::view::{Vhost, View};
use crate::model::administration::PolicyKind;
use crate::model::ids::Name;

/// Changes that are described, and bytes of their text; the others are counted.
const MOST_DESCRIBED: usize = 1_000;
const MOST_TEXT: usize = 1 << 20;
/// Names that are matched while the view is held.
const TOGETHER: usize = 16;

/// What would change, as far as it is known.
#[derive(Default)]
struct Changes {
    total: u64,
    described: Vec<Value>,
    text: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Queue,
    Exchange,
}

pub(super) async fn post(call: &mut Call<'_>, vhost: &str, policy: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    let fields = call.fields().await?;
    let kind =
        if fields.flag("operator")?.unwrap_or(false) { PolicyKind::Operator } else { PolicyKind::Regular };
    let preview = if fields.flag("delete")?.unwrap_or(false) {
        Preview::of_deletion(kind, policy.into())
    } else {
        Preview::of_put(kind, policy.into(), policies::spec_of(&fields)?)?
    };
    let _turn = call.context.turns.take(&call.caller.name).await?;
    let mut changes = Changes::default();
    for kind in [Kind::Exchange, Kind::Queue] {
        let mut last = None;
        loop {
            let names = names(call.view(), &vhost, kind, last.as_ref());
            let Some(behind) = names.back().cloned() else { break };
            last = Some(behind);
            look_at(call.view(), &vhost, kind, &names, &preview, &mut changes);
            yield_now().await;
        }
    }
    Ok(Answer::Found(json!({"total": changes.total, "changes": changes.described})))
}

/// The next ones of a vhost, which may be gone.
fn names(view: &View, vhost: &Name, kind: Kind, last: Option<&Name>) -> VecDeque<Name> {
    let state = view.read();
    let names = |vhost: &Vhost| match kind {
        Kind::Queue => vhost.queues_after(last).take(TOGETHER).cloned().collect(),
        Kind::Exchange => vhost.exchanges_after(last).take(TOGETHER).cloned().collect(),
    };
    state.vhost(vhost).map(names).unwrap_or_default()
}

fn look_at(
    view: &View,
    vhost: &Name,
    kind: Kind,
    names: &VecDeque<Name>,
    preview: &Preview,
    changes: &mut Changes,
) {
    let state = view.read();
    let Some(of_vhost) = state.vhost(vhost) else { return };
    for name in names {
        let found = match kind {
            Kind::Queue => state
                .queue(vhost, name)
                .map(|queue| (Subject::Queue(queue.settings.queue_type), &queue.policies)),
            // None applies to the default exchange.
            Kind::Exchange => state
                .exchange(vhost, name)
                .filter(|_| !name.is_empty())
                .map(|exchange| (Subject::Exchange, &exchange.policies)),
        };
        let Some((subject, before)) = found else { continue };
        let after = preview.applying(&of_vhost.policies, subject, name);
        if after != *before {
            changes.add(kind, name, before, &after);
        }
    }
}

impl Changes {
    fn add(&mut self, kind: Kind, name: &Name, before: &Applying, after: &Applying) {
        self.total += 1;
        if self.described.len() >= MOST_DESCRIBED || self.text >= MOST_TEXT {
            return;
        }
        let kind = match kind {
            Kind::Queue => "queue",
            Kind::Exchange => "exchange",
        };
        let change =
            json!({"type": kind, "name": **name, "before": described(before), "after": described(after)});
        self.text += change.to_string().len();
        self.described.push(change);
    }
}

fn described(applying: &Applying) -> Value {
    json!({
        "policy": applying.regular.as_deref(),
        "operator_policy": applying.operator.as_deref(),
        "definition": from_table(&applying.definition),
    })
}
