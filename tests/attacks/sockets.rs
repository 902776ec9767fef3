//! Sockets, before anybody has logged in and after; descriptors; listings that nobody reads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use leveret_codec::frame::PROTOCOL_HEADER;

use crate::client::Client;
use crate::stage::{Attack, sized};
use crate::wire::{self, Message, Queue};

#[test]
fn sockets_before_login() {
    Attack::new("sockets before login", 30).carry_out(|stage| {
        let silent: Vec<TcpStream> = (0..sized(300, 2_000))
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", stage.port())).expect("the broker listens");
                stream.write_all(&PROTOCOL_HEADER).expect("the broker reads");
                // All answers but the last.
                stream.write_all(&wire::start_ok("guest", "guest")).expect("the broker reads");
                stream.write_all(&wire::tune_and_open(0)[..20]).expect("the broker reads");
                stream
            })
            .collect();
        stage.linger();
        drop(silent);
        Ok(())
    });
}

#[test]
fn a_refused_login_that_stays() {
    Attack::new("a refused login that stays", 20).carry_out(|stage| {
        let before = stage.sockets();
        let mut client = Client::connect(stage.port());
        client.send(&PROTOCOL_HEADER);
        client.send(&wire::start_ok("guest", "wrong"));
        if !client.is_thrown_out_within(Duration::from_secs(15)) {
            return Err("its socket is open after 15 s".into());
        }
        stage.soon("its socket is gone", |stage| stage.sockets() <= before).map(drop)
    });
}

#[test]
fn silent_sockets_take_all_descriptors() {
    let wrapper = ["sh", "-c", "ulimit -n 256; exec \"$@\"", "sh"];
    let attack = Attack { wrapper: &wrapper, ..Attack::new("silent sockets take all descriptors", 150) };
    attack.carry_out(|stage| {
        let mut worker = Client::open(stage.port());
        let queue = Queue { name: "work", durable: true, ..Queue::default() };
        worker.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
        worker.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
        let port = stage.port();
        let take_all = || (0..400).filter_map(|_| TcpStream::connect(("127.0.0.1", port)).ok());
        let mut silent: Vec<TcpStream> = take_all().collect();
        // Enough for several files.
        let publish =
            Message { key: "work", persistent: true, body: 1 << 20, ..Message::default() }.publish(1);
        for _ in 0..sized(40, 1_000) {
            worker.ask(&publish, wire::ACK);
        }
        stage.linger();
        // Those who said nothing were sent away meanwhile.
        silent.extend(take_all());
        // Whoever comes too late is told so, and does not wait for ever.
        let mut late = Client::connect(stage.port());
        if !late.is_thrown_out_within(Duration::from_secs(8)) {
            return Err("a client that finds no room is left waiting".into());
        }
        drop(silent);
        stage.soon("clients can connect again", |_| {
            std::panic::catch_unwind(|| drop(Client::open(port))).is_ok()
        })?;
        Ok(())
    });
}

#[test]
fn listings_that_nobody_reads() {
    Attack::new("listings that nobody reads", 60).carry_out(|stage| {
        let mut client = Client::open(stage.port());
        let queues = sized(3_000, 20_000);
        let declares: Vec<u8> = (0..queues)
            .flat_map(|number| {
                let name = format!("{}-{number}", "listed".repeat(20));
                Queue { name: &name, exclusive: true, ..Queue::default() }.declare(1)
            })
            .collect();
        client.send(&declares);
        client.hear(wire::QUEUE_DECLARE_OK, queues);
        let request =
            "GET /api/queues HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n";
        let unread: Vec<TcpStream> = (0..40)
            .map(|number| {
                let mut stream =
                    TcpStream::connect(("127.0.0.1", stage.management)).expect("the API is served");
                stream.write_all(request.repeat(4).as_bytes()).expect("it reads");
                if number == 0 {
                    let mut begun = [0; 15];
                    stream.read_exact(&mut begun).expect("it answers");
                    assert_eq!(&begun, b"HTTP/1.1 200 OK", "a listing is being given");
                }
                stream
            })
            .collect();
        stage.linger();
        drop(unread);
        Ok(())
    });
}
