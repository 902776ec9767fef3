//! The life of the process: start, refusals that are one clear line, a clean stop, what survives it, and `verify`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use support::{Broker, free_port, leveret};
use tempfile::TempDir;

async fn channel(broker: &Broker) -> Channel {
    let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

async fn declare(channel: &Channel, queue: &str) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
}

async fn publish_confirmed(channel: &Channel, queue: &str, body: &[u8], delivery_mode: u8) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let properties = BasicProperties::default().with_delivery_mode(delivery_mode);
    let options = BasicPublishOptions::default();
    let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
    assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
}

/// What a start that must fail prints: one line, and a non-zero exit.
fn refusal(data: &Path, port: u16) -> String {
    let Output { status, stderr, .. } =
        leveret().args(["--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(data).output().unwrap();
    assert!(!status.success());
    let text = String::from_utf8(stderr).unwrap();
    let complaint = text.lines().find(|line| line.starts_with("leveret: ")).unwrap_or_default().to_owned();
    assert!(!complaint.is_empty() && !text.contains("panicked"), "no clear line in: {text}");
    complaint
}

#[test]
fn a_clean_stop_keeps_what_is_durable_and_exits_with_0() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    runtime.block_on(async {
        let channel = channel(&broker).await;
        declare(&channel, "kept").await;
        publish_confirmed(&channel, "kept", b"unacked", 2).await;
        publish_confirmed(&channel, "kept", b"transient", 1).await;
        publish_confirmed(&channel, "kept", b"ready", 2).await;
        let got = channel.basic_get("kept".into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert_eq!((got.delivery.data.as_slice(), got.delivery.redelivered), (&b"unacked"[..], false));
    });
    assert!(broker.terminate(), "SIGTERM ends the broker with success");
    broker.restart();
    runtime.block_on(async {
        let channel = channel(&broker).await;
        for (body, redelivered) in [(&b"unacked"[..], true), (b"ready", false)] {
            let got = channel.basic_get("kept".into(), BasicGetOptions::default()).await.unwrap().unwrap();
            assert_eq!((got.delivery.data.as_slice(), got.delivery.redelivered), (body, redelivered));
            got.delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
        assert!(channel.basic_get("kept".into(), BasicGetOptions::default()).await.unwrap().is_none());
    });
}

#[test]
fn a_signal_right_after_the_start_is_a_clean_stop() {
    for _ in 0..5 {
        assert!(Broker::start().terminate());
    }
}

#[test]
fn no_signal_kills_it_and_those_that_stop_it_stop_it_cleanly() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    for signal in
        ["HUP", "HUP", "USR1", "USR2", "PIPE", "ALRM", "VTALRM", "PROF", "IO", "STKFLT", "XFSZ", "40"]
    {
        broker.signal(signal);
    }
    broker.logged("SIGHUP: ");
    broker.logged("ignored");
    runtime.block_on(async {
        let channel = channel(&broker).await;
        declare(&channel, "kept").await;
        publish_confirmed(&channel, "kept", b"after all of them", 2).await;
    });
    for signal in ["TERM", "INT", "QUIT", "PWR", "XCPU"] {
        broker.signal(signal);
        broker.logged(&format!("SIG{signal}: stopping"));
        assert!(broker.ended().is_some_and(|status| status.success()), "SIG{signal}");
        broker.restart();
        let started = broker.logged("Server startup complete");
        assert!(started.contains("clean=true"), "SIG{signal}: {started}");
    }
}

#[test]
fn files_are_for_their_owner_alone_and_wider_ones_are_warned_of() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut broker = Broker::start();
    let data = broker.data().to_owned();
    assert_eq!(mode(&data), 0o700);
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert!(broker.terminate());
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    broker.restart();
    let warned = broker.logged("chmod");
    assert!(warned.contains(&format!("chmod -R go= '{}'", data.display())), "{warned}");
    assert_eq!(mode(&data), 0o755, "it is the operator's to decide");
}

#[test]
fn whoever_takes_the_data_away_ends_the_broker() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let takes: [fn(&Path); 3] = [
        |data| fs::remove_dir_all(data).unwrap(),
        |data| fs::rename(data, data.with_extension("old")).unwrap(),
        |data| fs::remove_file(data.join("catalog.redb")).unwrap(),
    ];
    for take in takes {
        let mut broker = Broker::start();
        let channel = runtime.block_on(async {
            let channel = channel(&broker).await;
            declare(&channel, "q").await;
            publish_confirmed(&channel, "q", b"one", 2).await;
            channel
        });
        take(broker.data());
        let status = broker.ended().expect("it ends soon");
        assert!(!status.success());
        broker
            .logged("leveret: stopped because the store failed: the data directory was changed from outside");
        runtime.block_on(async {
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default().with_delivery_mode(2);
            let confirmed =
                match channel.basic_publish("".into(), "q".into(), options, b"two", properties).await {
                    Ok(confirm) => confirm.await.is_ok_and(|confirm| confirm == Confirmation::Ack(None)),
                    Err(_) => false,
                };
            assert!(!confirmed, "nothing is confirmed any more");
        });
    }
}

#[test]
fn several_addresses_and_names_are_listened_on() {
    let (named, other) = (free_port(), free_port());
    let list = format!("localhost:{named},127.0.0.1:{other}");
    let broker = Broker::start_with(&["--listen", &list]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for address in
        [format!("localhost:{named}"), format!("127.0.0.1:{other}"), format!("127.0.0.1:{}", broker.port())]
    {
        let uri = format!("amqp://guest:guest@{address}/%2f");
        runtime.block_on(Connection::connect(&uri, ConnectionProperties::default())).unwrap();
    }
}

#[test]
fn silent_clients_leave_the_store_and_others_the_files_they_need() {
    const FILES: u32 = 256;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start_with_files(FILES);
    let channel = runtime.block_on(channel(&broker));
    let mut silent: Vec<TcpStream> =
        (0..FILES + 100).map(|_| TcpStream::connect(("127.0.0.1", broker.port())).unwrap()).collect();
    let warned = broker.logged("a connection was closed at once");
    assert!(warned.contains("--max-connections") && warned.contains("ulimit -n"), "{warned}");
    let open = || fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap().count();
    assert!(open() <= FILES as usize - 20, "{} files are open", open());
    runtime.block_on(async {
        declare(&channel, "q").await;
        publish_confirmed(&channel, "q", b"one", 2).await;
    });
    // Those for whom there was no room know it.
    let is_closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        match stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    };
    let closed = silent.iter_mut().map(is_closed).filter(|&closed| closed).count();
    assert!(closed >= 100, "{closed}");
    drop(silent);
    runtime.block_on(async {
        let since = Instant::now();
        while Connection::connect(&broker.uri(), ConnectionProperties::default()).await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(20), "there is room again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        publish_confirmed(&channel, "q", b"two", 2).await;
    });
    assert!(broker.terminate());
}

#[test]
fn a_user_name_with_line_feeds_is_logged_on_one_line() {
    let port = free_port();
    let management = format!("127.0.0.1:{port}");
    let broker = Broker::start_with(&["--management-listen", &management]);
    let credentials = base64::prelude::BASE64_STANDARD.encode("eve\nERROR admin logged in\x1b[2J:x");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "GET /api/whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Basic {credentials}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let line = broker.logged("was refused");
    assert!(line.contains("'eve\\nERROR admin logged in\\u{1b}[2J'"), "{line}");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let broker = Broker::start();
    // Whatever file is removed, what is written is locked.
    let _ = fs::remove_file(broker.data().join("lock"));
    let complaint = refusal(broker.data(), free_port());
    assert!(complaint.contains("another process"), "{complaint}");
}

#[test]
fn a_taken_port_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = TempDir::new().unwrap();
    let complaint = refusal(directory.path(), taken.local_addr().unwrap().port());
    assert!(
        complaint.contains("cannot listen on 127.0.0.1:") && complaint.contains("--listen"),
        "{complaint}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_used_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let complaint = refusal(&file.join("data"), free_port());
    assert!(complaint.contains("cannot use the data directory"), "{complaint}");
    let link = directory.path().join("link");
    symlink(directory.path().join("nothing"), &link).unwrap();
    let complaint = refusal(&link, free_port());
    assert!(
        complaint.contains("it is a link to") && complaint.contains("which does not exist"),
        "{complaint}"
    );
    // Root may write everywhere, so this half says nothing when root runs it.
    let read_only = directory.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(read_only.join("probe"), "").is_err() {
        let complaint = refusal(&read_only.join("data"), free_port());
        assert!(complaint.contains("cannot use the data directory"), "{complaint}");
    }
}

#[test]
fn verify_reports_a_stopped_directory_as_sound_and_a_damaged_one_as_not() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let mut broker = Broker::start_on(&data);
    runtime.block_on(async {
        let channel = channel(&broker).await;
        declare(&channel, "checked").await;
        publish_confirmed(&channel, "checked", &[0x5A; 3000], 2).await;
    });
    assert!(broker.terminate());
    let verify = || leveret().args(["verify", "--data-dir"]).arg(&data).output().unwrap();
    let sound = verify();
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stdout));

    // It changes nothing, so it needs no right to; root has them all, so somebody else asks where root runs this.
    let before = listed(&data);
    for path in fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut read_only = leveret();
    if rustix::process::geteuid().is_root() {
        read_only.uid(65534).gid(65534);
    }
    // Nobody else may be able to run the binary where it is.
    if let Ok(read) = read_only.args(["verify", "--data-dir"]).arg(&data).output() {
        assert!(read.status.success(), "{read:?}");
    }
    assert_eq!(listed(&data), before);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    for path in fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    flip_a_body_byte(&data);
    let damaged = verify();
    assert!(!damaged.status.success(), "{}", String::from_utf8_lossy(&damaged.stdout));
}

/// What `leveret verify` prints on this directory, and whether it succeeds.
fn verify(data: &Path, arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } =
        leveret().args(["verify", "--data-dir"]).arg(data).args(arguments).output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    (status.success(), text)
}

#[test]
fn a_loss_is_accepted_once_and_messages_without_a_queue_are_restored_or_dropped() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let data = broker.data().to_owned();
    runtime.block_on(async {
        let channel = channel(&broker).await;
        for queue in ["first", "second"] {
            declare(&channel, queue).await;
            publish_confirmed(&channel, queue, queue.as_bytes(), 2).await;
        }
    });
    assert!(broker.terminate());
    // By now the journal holds only the last changes of the catalog.
    broker.restart();
    runtime.block_on(async { declare(&channel(&broker).await, "third").await });
    assert!(broker.terminate());
    assert!(verify(&data, &[]).0);

    fs::remove_file(data.join("catalog.redb")).unwrap();
    let complaint = refusal(&data, free_port());
    assert!(
        complaint.contains("catalog.redb is missing") && complaint.contains("--accept-loss"),
        "{complaint}"
    );
    let (sound, text) = verify(&data, &[]);
    assert!(!sound && text.contains("catalog.redb is missing"), "{text}");
    broker.restart_with(&["--accept-loss"]);
    assert!(broker.terminate());
    broker.restart_with(&[]);
    assert!(broker.terminate(), "it was accepted once and for all");

    let (sound, text) = verify(&data, &[]);
    assert!(!sound, "{text}");
    for queue in [1, 2] {
        let told = format!("1 messages of queue {queue}, which catalog.redb does not know, are kept apart");
        assert!(text.contains(&told), "{text}");
    }
    for (arguments, why) in [
        (&["--restore", "7=found"][..], "no messages of a queue 7 are kept apart; those of 1, 2 are"),
        (&["--restore", "1=found", "--vhost", "nowhere"], "no vhost 'nowhere'"),
        (&["--restore", "found"], "give a number and a name"),
        (&["--drop", "first"], "'first' is not the number of a queue"),
    ] {
        let (done, text) = verify(&data, arguments);
        assert!(!done && text.contains(why), "{text}");
    }
    assert!(verify(&data, &["--restore", "1=found"]).0);
    let (done, text) = verify(&data, &["--restore", "2=found"]);
    assert!(!done && text.contains("exists already"), "{text}");
    assert!(verify(&data, &["--drop", "2"]).0);
    assert!(verify(&data, &[]).0);
    broker.restart();
    runtime.block_on(async {
        let channel = channel(&broker).await;
        let got = channel.basic_get("found".into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert_eq!((got.delivery.data.as_slice(), got.message_count), (&b"first"[..], 0));
    });
}

#[test]
fn a_low_disk_stops_publishers_and_nobody_else() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    runtime.block_on(async {
        let publisher = channel(&broker).await;
        declare(&publisher, "low").await;
        publish_confirmed(&publisher, "low", b"the first", 2).await;
    });
    assert!(broker.terminate());
    // More than any disk has free.
    broker.restart_with(&["--disk-free-limit", "4294967295"]);
    runtime.block_on(async {
        let publisher = channel(&broker).await;
        let blocked = publish_confirmed(&publisher, "low", b"the second", 2);
        assert!(tokio::time::timeout(Duration::from_millis(300), blocked).await.is_err(), "it is kept aside");
        let consumer = channel(&broker).await;
        let got = consumer.basic_get("low".into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert_eq!(got.delivery.data, b"the first");
        got.delivery.ack(BasicAckOptions::default()).await.unwrap();
        assert!(consumer.basic_get("low".into(), BasicGetOptions::default()).await.unwrap().is_none());
    });
}

/// The names, lengths and times of files.
fn listed(data: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| {
            let found = entry.metadata().unwrap();
            (entry.path(), found.len(), found.modified().unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Flips a byte in the middle of the 3000 equal ones, wherever they are stored.
fn flip_a_body_byte(data: &Path) {
    let mut flipped = 0;
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let Ok(mut bytes) = fs::read(&path) else { continue };
        let body = [0x5A; 3000];
        if let Some(at) = bytes.windows(body.len()).position(|window| window == body) {
            bytes[at + 1500] ^= 1;
            fs::write(&path, bytes).unwrap();
            flipped += 1;
        }
    }
    assert!(flipped > 0, "the body is stored somewhere");
}
