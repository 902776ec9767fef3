//! Alarms that have to end: once what raised them is gone, publishers are served again.

use std::process::Command;

use crate::client::Client;
use crate::stage::{Attack, Stage, sized};
use crate::wire::{self, Message, Queue};

const MIB: usize = 1 << 20;

/// Publishers send as much as they can, and go.
#[test]
fn a_burst() {
    Attack::new("a burst", 150).with(&["--message-memory", sized("80", "256")]).carry_out(|stage| {
        let mut publishers: Vec<Client> = Vec::new();
        for number in 0..8 {
            let mut publisher = Client::open(stage.port());
            let name = format!("burst-{number}");
            let queue = Queue { name: &name, ..Queue::default() };
            publisher.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
            let publish = Message { key: &name, body: 1_000, ..Message::default() }.publish(1).repeat(500);
            publisher.flood(&publish, sized(30 * MIB, 150 * MIB));
            publishers.push(publisher);
        }
        stage.linger();
        println!("  {} MiB after the burst", stage.memory());
        drop(publishers);
        let took = stage.publishers_are_served()?;
        println!("  publishers are served after {took:.1?}");
        Ok(())
    });
}

#[test]
fn temporary_queues_come_and_go() {
    let attack = Attack { limit: sized("40", "200"), ..Attack::new("temporary queues come and go", 60) };
    attack.carry_out(|stage| {
        for _ in 0..2 {
            let mut clients: Vec<Client> = (0..7).map(|_| Client::open(stage.port())).collect();
            let each = sized(800, 10_000);
            let declare = Queue { exclusive: true, ..Queue::default() }.declare(1);
            for client in &mut clients {
                client.send(&declare.repeat(each));
            }
            for client in &mut clients {
                client.hear(wire::QUEUE_DECLARE_OK, each);
            }
            println!("  {} MiB with them", stage.memory());
        }
        let served = stage.publishers_are_served()?;
        // While no limit is exceeded, nobody asks the allocator for what it keeps; and the limit is one of the process's own
        // memory, without the program, of which the small form has nearly as much.
        let kept = |stage: &Stage| sized(stage.own_memory(), stage.memory());
        let most = sized(40, stage.before + 80);
        let returned = stage.soon("memory is given back", |stage| kept(stage) <= most)?;
        println!("  publishers served after {served:.1?}, {} MiB after {returned:.1?}", kept(stage));
        Ok(())
    });
}

/// On a small disk everything that filled it is consumed.
#[test]
fn a_full_disk_is_emptied() {
    let size = format!("size={}m", sized(400, 700));
    let mount = format!("mkdir -p \"$6\" && mount -t tmpfs -o {size} tmpfs \"$6\" && exec \"$@\"");
    let small_disk = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"];
    let can_mount = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .status()
        .is_ok_and(|status| status.success());
    if !can_mount {
        return println!("nobody may mount a small disk here: nothing was attacked");
    }
    let attack = Attack { limit: "300", wrapper: &small_disk, ..Attack::new("a full disk is emptied", 150) };
    attack.with(&["--message-memory", "16"]).carry_out(|stage| {
        let mut publisher = Client::open(stage.port());
        let queue = Queue { name: "full", durable: true, ..Queue::default() };
        publisher.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
        let publish = Message { key: "full", persistent: true, body: 100_000, ..Message::default() };
        publisher.flood(&publish.publish(1), sized(300, 600) * MIB);
        stage.linger();
        let mut consumer = Client::open(stage.port());
        consumer.ask(&wire::qos(1, 100), wire::QOS_OK);
        consumer.send(&wire::consume(1, "full", "", false));
        let mut tag = 0;
        // Until the queue is empty, also of what the publisher had under way.
        while consumer.hears_within(wire::DELIVER, std::time::Duration::from_secs(2)) {
            tag += 1;
            if tag % 50 == 0 {
                consumer.send(&wire::ack(1, tag));
            }
        }
        consumer.send(&wire::ack(1, tag));
        println!("  {tag} messages consumed");
        let took = stage.publishers_are_served()?;
        println!("  publishers are served after {took:.1?}");
        Ok(())
    });
}
