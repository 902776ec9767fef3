//! Somebody who looks at a broker while it is measured: asks for pages over HTTP, all of them one after the other, once a second.
//! What they say is read and thrown away; one that is not there fails the run.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::target::Uri;

const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether that is over.
const STEP: Duration = Duration::from_millis(20);
/// How long an answer may let wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// `http://USER:PASSWORD@HOST:PORT/PATH`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    place: Uri,
    path: String,
}

impl FromStr for Page {
    type Err = Error;

    fn from_str(text: &str) -> Result<Page> {
        let rest = text.strip_prefix("http://").context("a page's address starts with http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Page { place: format!("amqp://{authority}").parse()?, path: format!("/{path}") })
    }
}

impl Page {
    fn ask(&self, buffer: &mut [u8]) -> Result<()> {
        let Uri { host, port, user, password, .. } = &self.place;
        let mut stream = TcpStream::connect((host.as_str(), *port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let login = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n",
            self.path
        );
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        loop {
            let read = stream.read(buffer)?;
            if read == 0 {
                break;
            }
            if head.len() < 16 {
                head.extend_from_slice(&buffer[..read.min(16)]);
            }
        }
        ensure!(head.starts_with(b"HTTP/1.1 200"), "it says {:?}", String::from_utf8_lossy(&head));
        Ok(())
    }
}

/// Asks until it is told to end.
pub(crate) struct Asker {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Asker {
    /// None where there is nothing to ask for.
    pub(crate) fn start(pages: &[Page]) -> Option<Asker> {
        if pages.is_empty() {
            return None;
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let (pages, until) = (pages.to_vec(), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while !until.load(Ordering::Relaxed) {
                let began = Instant::now();
                for page in &pages {
                    page.ask(&mut buffer).with_context(|| format!("asking for {}", page.path))?;
                }
                while began.elapsed() < EVERY && !until.load(Ordering::Relaxed) {
                    thread::sleep(STEP);
                }
            }
            Ok(())
        });
        Some(Asker { is_over, thread })
    }

    /// An error where something could not be asked.
    pub(crate) fn end(self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("whoever asks for pages panicked"))?
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_is_asked_for_has_to_be_there() {
        for (answer, is_fine) in [("200 OK", true), ("404 Not Found", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let page: Page = format!("http://a:b@127.0.0.1:{port}/api/overview?x=1").parse().unwrap();
            let asker = Asker::start(&[page]).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 128];
            let len = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..len]);
            assert!(request.starts_with("GET /api/overview?x=1 HTTP/1.1\r\n"), "{request}");
            asker.is_over.store(true, Ordering::Relaxed);
            write!(stream, "HTTP/1.1 {answer}\r\n\r\n").unwrap();
            drop(stream);
            assert_eq!(asker.end().is_ok(), is_fine);
        }
    }
}
