//! The last frames of a case, as they are shown where it fails.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use leveret_codec::frame;
use leveret_codec::method::{MethodId, method_id, parse_method};

use crate::assembly::Input;

/// How many frames of a failed case are shown.
const SHOWN: usize = 12;
/// How many characters of each.
const WIDTH: usize = 200;

/// The last frames of a case, in both directions; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Rc<RefCell<VecDeque<String>>>);

impl Trace {
    pub(crate) fn note(&self, line: &str) {
        let lines = &mut *self.0.borrow_mut();
        if lines.len() == SHOWN {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(WIDTH).collect());
    }

    /// Notes what was written: frames by their method or type, anything else as bytes.
    pub(crate) fn sent(&self, mut bytes: &[u8]) {
        while let Ok(Some(found)) = frame::decode(bytes, 0) {
            let method = method_id(found.payload).filter(|_| found.kind == frame::FrameKind::Method);
            match method {
                Some(MethodId { class, method }) => {
                    self.note(&format!("-> {} {class}.{method}", found.channel));
                }
                None => self.note(&format!(
                    "-> {} {:?} of {} bytes",
                    found.channel,
                    found.kind,
                    found.payload.len()
                )),
            }
            bytes = &bytes[found.wire_len()..];
        }
        if !bytes.is_empty() {
            self.note(&format!("-> {} bytes: {:02x?}", bytes.len(), &bytes[..bytes.len().min(24)]));
        }
    }

    pub(crate) fn received(&self, input: &Input) {
        match input {
            Input::Frame { kind: frame::FrameKind::Method, channel, payload } => {
                match parse_method(payload) {
                    Ok(method) => self.note(&format!("<- {channel} {method:?}")),
                    Err(error) => self.note(&format!("<- {channel} {error}")),
                }
            }
            Input::Frame { kind, channel, payload } => {
                self.note(&format!("<- {channel} {kind:?} of {} bytes", payload.len()));
            }
            other => self.note(&format!("<- {other:?}")),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().iter().cloned().collect()
    }
}
