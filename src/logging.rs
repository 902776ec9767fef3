//! How log lines are written, to standard error and among the last lines that administrators may read: one line for each event,
//! whatever its fields hold. What is logged is not known here.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::panic;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, error};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::{MakeWriter, format};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::config::LogFormat;
use crate::server::{ProcessLog, RecentLines, panic_text};

/// Begins to log what `filter` lets through, panics among it. To be called once, at the start. Returns the log, or what is wrong
/// with the filter.
pub fn init(filter: &str, format: LogFormat) -> Result<ProcessLog, String> {
    let (reloadable, handle) = reload::Layer::new(parse(filter)?);
    let recent = Arc::new(RecentLines::default());
    let lines = Arc::clone(&recent);
    let kept = move || Keeping(Arc::clone(&lines));
    let logged = tracing_subscriber::registry().with(reloadable);
    // Whoever has read a line finds it among those that are kept, so these come first.
    match format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            logged.with(text(false, kept)).with(text(colours, io::stderr)).init();
        }
        LogFormat::Json => logged.with(json(kept)).with(json(io::stderr)).init(),
    }
    let set = move |filter: &str| handle.reload(parse(filter)?).map_err(|error| error.to_string());
    let with_backtrace = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let thread = std::thread::current();
        let location = panicked.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread.name().unwrap_or("unnamed");
        error!(thread, location, "panicked: {}", panic_text(panicked.payload()));
        // Who has asked for backtraces gets them as always.
        if Backtrace::capture().status() == BacktraceStatus::Captured {
            with_backtrace(panicked);
        }
    }));
    Ok(ProcessLog::new(recent, filter, set))
}

/// A word that is no level would be the name of a part of the program, and let through nothing but what that logs.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    if filter.bytes().all(|byte| byte.is_ascii_alphanumeric()) && filter.parse::<LevelFilter>().is_err() {
        return Err("levels are off, error, warn, info, debug and trace".to_owned());
    }
    EnvFilter::try_new(filter).map_err(|error| error.to_string())
}

/// Takes whole lines to those that are kept.
struct Keeping(Arc<RecentLines>);

impl io::Write for Keeping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn text<S, W>(colours: bool, writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The default escapes what a terminal obeys, but not line feeds. Numbers and texts come here as well as what is
    // shown or debugged.
    let fields = format::debug_fn(|writer, field, value| {
        if field.name() != "message" {
            write!(writer, "{}=", field.name())?;
        }
        write!(OneLine(writer), "{value:?}")
    });
    tracing_subscriber::fmt::layer().with_ansi(colours).fmt_fields(fields.delimited(" ")).with_writer(writer)
}

fn json<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().json().with_writer(writer)
}

/// Writes on what would end a line, or what a terminal would obey, as an escape sequence of Rust.
struct OneLine<'a>(&'a mut dyn Write);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_special) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut letters = special.chars();
            if let Some(letter) = letters.next() {
                write!(self.0, "{}", letter.escape_default())?;
            }
            rest = letters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, what separates lines and paragraphs, and what turns the direction of writing round.
fn is_special(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, subscriber, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written when these events are logged in this format.
    fn written(format: LogFormat, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let writer = move || writer.clone();
        let logged = tracing_subscriber::registry().with(parse("info").unwrap());
        match format {
            LogFormat::Text => subscriber::with_default(logged.with(text(false, writer)), events),
            LogFormat::Json => subscriber::with_default(logged.with(json(writer)), events),
        }
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_its_fields_hold() {
        let user = "eve\n2026-01-01 INFO admin logged in\r\x1b[2J\u{9b}1m\u{2028}\u{202e}\0ü";
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = written(format, || {
                info!(%user, "refused");
                info!(?user, "refused");
                info!(user, "refused");
                warn!(connection = 7, "user {user} was refused");
            });
            assert_eq!(log.matches('\n').count(), 4, "{format:?}: {log:?}");
            assert_eq!(log.lines().count(), 4, "{format:?}: {log:?}");
            if format == LogFormat::Text {
                let foul = log.chars().find(|&letter| letter != '\n' && is_special(letter));
                assert_eq!(foul, None, "{log:?}");
                let escaped = "eve\\n2026-01-01 INFO admin logged in\\r\\u{1b}[2J\\u{9b}1m";
                assert!(log.lines().all(|line| line.contains(escaped)), "{log}");
                assert_eq!(log.matches('ü').count(), 4, "letters stay as they are: {log}");
            }
        }
    }

    #[test]
    fn a_filter_is_a_level_or_says_of_what_it_is_one() {
        for filter in ["info", "DEBUG", "off", "3", "info,leveret::store=debug", "leveret::store=trace"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["loud", "debugg", "leveret=loud"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
    }

    #[test]
    fn fields_follow_the_message_in_their_order() {
        let log = written(LogFormat::Text, || info!(address = %"127.0.0.1:1", count = 2, "complete"));
        assert!(log.ends_with(" complete address=127.0.0.1:1 count=2\n"), "{log}");
    }
}
