//! The socket in the data directory by which a broker is administered from its machine without a password: who is let in, what
//! they may do, what the log says of it, what becomes of the socket, and what is done by it to a running broker or said of what would
//! be.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "control/operation.rs"]
mod operation;
#[path = "control/preview.rs"]
mod preview;
#[path = "control/socket.rs"]
mod socket;
#[path = "support/mod.rs"]
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;

use rustix::process::geteuid;
use serde_json::{Value, json};
use socket::{SOCKET, ask, ask_as, change, found};
use support::Broker;
use tempfile::TempDir;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_owner_administers_without_a_password_and_nobody_else_reads_a_file() {
    let broker = Broker::start();
    let data = broker.data();
    let who = found(data, "whoami");
    let uid = geteuid().as_raw();
    assert_eq!(who, json!({"name": null, "tags": ["administrator"], "is_internal_user": false, "uid": uid}));
    assert_eq!(mode(data), 0o700);
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert!(fs::metadata(data.join(SOCKET)).unwrap().file_type().is_socket());
}

#[test]
fn another_user_is_refused_and_members_of_the_group_are_let_in() {
    if !geteuid().is_root() {
        eprintln!("only root can be somebody else: nothing is tested here");
        return;
    }
    const SOMEBODY: u32 = 54_321;
    const GROUP: u32 = 54_322;
    let mut broker = Broker::start();
    let data = broker.data().to_owned();
    let refused = ask_as(SOMEBODY, SOMEBODY, &data, "whoami");
    assert!(refused.is_err(), "the system lets nobody through: {refused:?}");

    // Where the operator opens everything, the broker looks at who comes.
    set_mode(data.parent().unwrap(), 0o755);
    set_mode(&data, 0o755);
    set_mode(&data.join(SOCKET), 0o666);
    let refused = ask_as(SOMEBODY, GROUP, &data, "whoami").unwrap();
    assert_eq!((refused.status, &refused.body["error"]), (403, &json!("forbidden")), "{refused:?}");
    assert!(refused.head.to_lowercase().contains("connection: close"), "{refused:?}");
    assert!(broker.logged("may not administer the broker").contains(&format!("uid={SOMEBODY}")));
    assert_eq!(found(&data, "whoami")["uid"], 0, "root is let in");

    set_mode(&data, 0o700);
    assert!(broker.terminate());
    broker.restart_with(&["--control-group", &GROUP.to_string()]);
    assert_eq!((mode(&data), mode(&data.join(SOCKET))), (0o710, 0o660));
    assert_eq!(ask_as(SOMEBODY, GROUP, &data, "whoami").unwrap().body["uid"], SOMEBODY);
    assert!(ask_as(SOMEBODY, SOMEBODY, &data, "whoami").is_err());
    set_mode(&data, 0o711);
    set_mode(&data.join(SOCKET), 0o666);
    assert_eq!(ask_as(SOMEBODY, SOMEBODY, &data, "whoami").unwrap().status, 403);
}

#[test]
fn root_and_whoever_runs_the_broker_are_let_in() {
    let program = Path::new(env!("CARGO_BIN_EXE_leveret"));
    let anybody_reaches_it = program.ancestors().all(|above| mode(above) & 0o001 != 0);
    if !geteuid().is_root() || !anybody_reaches_it {
        eprintln!(
            "only root can run it as somebody else, who has to reach the program: nothing is tested here"
        );
        return;
    }
    const OWNER: u32 = 54_321;
    let directory = TempDir::new().unwrap();
    chown(directory.path(), Some(OWNER), Some(OWNER)).unwrap();
    let data = directory.path().join("data");
    let _broker = Broker::start_as(OWNER, &data);
    assert_eq!(ask_as(OWNER, OWNER, &data, "whoami").unwrap().body["uid"], OWNER);
    assert_eq!(found(&data, "whoami")["uid"], 0);
    assert!(ask_as(OWNER + 1, OWNER, &data, "whoami").is_err(), "the group is none that was named");
}

#[test]
fn a_path_of_more_than_200_bytes_works() {
    let above = TempDir::new().unwrap();
    let data = above.path().join("d".repeat(100)).join("e".repeat(100));
    let mut broker = Broker::start_on(&data);
    assert!(data.join(SOCKET).as_os_str().len() > 200);
    assert_eq!(found(&data, "whoami")["uid"], geteuid().as_raw());
    assert!(broker.terminate());
    assert!(!data.join(SOCKET).exists());
}

#[test]
fn what_a_killed_broker_left_behind_is_replaced_and_a_clean_stop_leaves_nothing() {
    let mut broker = Broker::start();
    let socket = broker.data().join(SOCKET);
    broker.kill();
    assert!(socket.exists(), "nobody could remove it");
    broker.restart();
    assert_eq!(found(broker.data(), "whoami")["uid"], geteuid().as_raw());
    assert!(broker.terminate());
    assert!(!socket.exists());
}

#[test]
fn the_log_says_who_changed_what() {
    let broker = Broker::start();
    let data = broker.data();
    found(data, "users");
    assert_eq!(change(data, "PUT", "users/eve%0Aann", &json!({"password": "secret", "tags": ""})), 201);
    assert_eq!(change(data, "DELETE", "vhosts/none", &Value::Null), 404);
    let uid = geteuid().as_raw();
    for said in [
        format!("uid={uid} method=PUT path=\"/api/users/eve%0Aann\" status=201"),
        format!("uid={uid} method=DELETE path=\"/api/vhosts/none\" status=404"),
    ] {
        broker.logged(&said);
    }
    let log = broker.log().concat();
    assert!(!log.contains("method=GET") && !log.contains("secret"), "{log}");
}

/// Nobody has permissions in a vhost that is made so, and whoever administers the broker needs none.
#[test]
fn whoever_comes_by_it_may_do_everything_in_each_vhost() {
    let broker = Broker::start();
    let data = broker.data();
    assert_eq!(change(data, "PUT", "vhosts/v", &json!({})), 201);
    assert_eq!(found(data, "vhosts/v/permissions"), json!([]));
    assert_eq!(change(data, "PUT", "queues/v/q", &json!({"durable": true})), 201);
    assert_eq!(change(data, "PUT", "exchanges/v/x", &json!({"type": "topic", "durable": true})), 201);
    assert_eq!(change(data, "POST", "bindings/v/e/x/q/q", &json!({"routing_key": "k"})), 201);
    let message = json!({"properties": {}, "routing_key": "k", "payload": "p", "payload_encoding": "string"});
    assert_eq!(ask(data, "POST", "exchanges/v/x/publish", &message).body, json!({"routed": true}));
    let get = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
    assert_eq!(ask(data, "POST", "queues/v/q/get", &get).body[0]["payload"], "p");
    assert_eq!(change(data, "DELETE", "queues/v/q/contents", &Value::Null), 204);
    assert_eq!(change(data, "DELETE", "queues/v/q", &Value::Null), 204);
}

#[test]
fn there_is_no_socket_where_others_could_put_one_of_their_own() {
    let above = TempDir::new().unwrap();
    let data = above.path().join("data");
    fs::create_dir(&data).unwrap();
    set_mode(&data, 0o777);
    let mut broker = Broker::start_on(&data);
    let warned = broker.logged("there is no control.sock");
    assert!(warned.contains(&format!("chmod go-w '{}'", data.display())), "{warned}");
    assert!(!data.join(SOCKET).exists());
    assert!(broker.terminate());
    set_mode(&data, 0o700);
    broker.restart();
    assert_eq!(found(&data, "whoami")["tags"], json!(["administrator"]));
}

#[test]
fn a_group_that_is_asked_for_and_cannot_be_had_is_an_end() {
    let data = TempDir::new().unwrap();
    let refused = support::leveret()
        .args(["serve", "--listen", "127.0.0.1:0", "--no-management", "--metrics-listen", "off"])
        .args(["--control-group", "no-such-group", "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("there is no group 'no-such-group'"), "{said}");
}
