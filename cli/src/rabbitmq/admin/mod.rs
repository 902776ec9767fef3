//! rabbitmqadmin, in the words of both tools of that name: `declare queue name=q durable=true` of the one in Python that came with
//! RabbitMQ up to 4.2, and `queues declare --name q` of the one that comes with 4.3. Both speak to the management API, and so
//! does this one: by the address and the login that are given, or else as the other tools find the broker.

mod boxes;
mod formats;
mod new;
mod objects;
mod old;
mod options;

use std::io::{self, Write};

use options::Options;

/// Carries out a line. The exit code.
pub(super) fn run(line: &[String]) -> u8 {
    let options = match Options::read(line) {
        Ok(options) => options,
        Err(what) => return old::misunderstood(&what),
    };
    if options.is("version") {
        return said(&format!("rabbitmqadmin {}\n", super::groups::VERSION));
    }
    if options.is("help") || options.words.first().is_some_and(|word| word == "help") {
        return said(&objects::help());
    }
    if new::is_meant(&options) { new::run(&options) } else { old::run(&options) }
}

/// Prints it; whoever does not read on wants no more. The exit code.
fn said(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    0
}
