//! What needs a process of its own: running out of descriptors, and memory seen from outside.

use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::process::{Process, limited};
use crate::support::program::{command, start, start_command};

const DESCRIPTORS: usize = 64;
const STORM: usize = 300;

#[test]
fn a_storm_at_the_descriptor_limit_passes() {
    let program = start_command(&mut limited(DESCRIPTORS, &command(["--expect", "degraded == 0"])));
    let mut served = Vec::new();
    let mut waiting = Vec::new();
    for number in 0..STORM {
        let mut client = Client::connect(program.address());
        // The kernel completes connections that the server has no descriptor for.
        if number < DESCRIPTORS / 2 {
            assert_eq!(client.reply(), "220 Welcome");
            served.push(client);
        } else {
            waiting.push(client);
        }
    }
    let unserved = waiting.last_mut().expect("a waiting client");
    assert_eq!(unserved.silence(Duration::from_millis(100)), Ok(()), "the limit was not reached");
    check_that_it_rests(&program);
    // Those that are served are served on meanwhile.
    served.iter_mut().for_each(|client| client.deliver("at the limit\r\n"));
    drop(served);
    // Each that leaves makes room for the next.
    for mut client in waiting {
        assert_eq!(client.reply(), "220 Welcome");
        client.deliver("after the wait\r\n");
        client.quit();
    }
    Client::greeted(program.address()).deliver("afterwards\r\n");
    check_that_it_rests(&program);
    let ended = program.stopped();
    assert_eq!(ended.code(), Some(10), "{ended:?}");
    assert!(
        ended.stderr.contains("there was no descriptor for them"),
        "the server's lack is named: {ended:?}"
    );
}

#[test]
fn captures_lose_nothing_while_sessions_occupy_every_descriptor() {
    for format in ["maildir", "eml", "json"] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("capture");
        let path_text = path.display().to_string();
        let mut flags = vec!["--capture", &path_text];
        if format != "json" {
            flags.extend(["--capture-format", format]);
        }
        let program = start_command(&mut limited(DESCRIPTORS, &command(flags)));
        let mut clients: Vec<_> = (0..2 * DESCRIPTORS).map(|_| Client::connect(program.address())).collect();
        let served = DESCRIPTORS / 2;
        clients[..served].iter_mut().for_each(|client| assert_eq!(client.reply(), "220 Welcome"));
        check_that_it_rests(&program);
        if format == "json" {
            std::fs::rename(&path, folder.path().join("renamed")).expect("renamed");
            program.signal(Signal::USR2);
        }
        clients[..served].iter_mut().for_each(|client| client.deliver("at the limit\r\n"));
        drop(clients);
        let ended = program.stopped();
        assert_eq!(ended.code(), Some(0), "{format}: {ended:?}");
        let mails = match format {
            "json" => std::fs::read_to_string(&path).expect("opened again").lines().count(),
            _ => {
                let whole = if format == "maildir" { path.join("new") } else { path };
                std::fs::read_dir(whole).expect("a folder").count()
            }
        };
        let rest =
            std::fs::read_to_string(folder.path().join("renamed")).map_or(0, |text| text.lines().count());
        assert!(mails + rest >= served, "{format}: {mails} and {rest} of {served}");
    }
}

#[test]
fn the_first_want_of_descriptors_is_logged_with_the_limit() {
    let flags = ["--log", "--expect", "loop.accept_rests > 1"];
    let mut program = start_command(&mut limited(DESCRIPTORS, &command(flags)));
    let clients: Vec<Client> = (0..DESCRIPTORS + 2).map(|_| Client::connect(program.address())).collect();
    const RESTS: &str = "connections wait to be accepted: ";
    let line = program.wait_for_output(RESTS);
    assert!(line.contains("WARNING") && line.contains(&format!(" {DESCRIPTORS} descriptors")), "{line}");
    // Each that leaves makes room for one of those that wait, and the listener rests again.
    for mut client in clients {
        assert_eq!(client.reply(), "220 Welcome");
        client.quit();
    }
    let ended = program.stopped();
    assert_eq!((ended.code(), ended.stdout.contains(RESTS)), (Some(0), false), "{ended:?}");
}

/// A client that gave up waiting for the greeting was counted as one that "sent nothing".
#[test]
fn a_client_that_left_while_it_waited_for_a_descriptor_is_not_blamed() {
    const CLIENTS: usize = 2 * DESCRIPTORS;
    let checks = ["sessions == 129", "sessions.closed == 129", "sessions.silent == 0", "findings == 0"];
    let flags = ["--log", "--report"].into_iter().chain(checks.iter().flat_map(|check| ["--expect", check]));
    let mut program = start_command(&mut limited(DESCRIPTORS, &command(flags)));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(program.address())).collect();
    program.wait_for_output("connections wait to be accepted: ");
    // No descriptor is free until a session has ended. The last greetings may still be on their way.
    clients[CLIENTS - 1].silence(Duration::from_millis(500)).expect("no descriptor for it");
    let (unserved, served): (Vec<_>, Vec<_>) = clients
        .into_iter()
        .map(|mut client| (client.silence(Duration::from_millis(1)), client))
        .partition(|(silence, _)| silence.is_ok());
    let count = unserved.len();
    assert!(count >= CLIENTS - DESCRIPTORS, "{count} were not greeted");
    drop(unserved);
    served.into_iter().for_each(|(_, client)| client.quit());
    // Accepted behind all of them.
    let mut last = Client::connect(program.address());
    assert_eq!(last.reply(), "220 Welcome");
    last.quit();
    let ended = program.stopped();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let reported = format!("\n{count} of them were closed by the client before they were accepted\n");
    assert!(ended.stdout.contains(&reported), "{ended:?}");
}

/// What the system allows at first is no bound.
#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -Sn 32 && exec \"$0\" --expect 'loop.accept_rests == 0'"]);
    let program = start_command(few.arg(command::<&str>([]).get_program()));
    let clients: Vec<Client> = (0..DESCRIPTORS * 2).map(|_| Client::greeted(program.address())).collect();
    clients.into_iter().for_each(Client::quit);
    assert_eq!(program.stopped().code(), Some(0));
}

/// Being out of descriptors must cost next to nothing: at most a tenth of a processor.
fn check_that_it_rests(program: &Process) {
    const WATCHED: Duration = Duration::from_millis(1000);
    let before = program.cpu_time();
    thread::sleep(WATCHED);
    let used = program.cpu_time() - before;
    println!("at rest: {used:?} in {WATCHED:?}");
    assert!(used <= WATCHED / 10, "{used:?} in {WATCHED:?}");
}

/// A peer that sends and never reads: the server stops reading and keeps a bounded amount.
#[test]
fn unread_replies_take_bounded_memory() {
    const PEERS: usize = 8;
    let program = start(["--session-timeout", "10m"]);
    Client::greeted(program.address()).deliver("warm\r\n");
    let before = program.resident_kib();
    let noops = b"NOOP\r\n".repeat(200_000);
    let peers: Vec<Client> = (0..PEERS)
        .map(|_| {
            let mut client = Client::deaf(program.address(), Duration::from_millis(50));
            client.flood(&noops, usize::MAX);
            client
        })
        .collect();
    let grown = program.resident_kib().saturating_sub(before);
    println!("{PEERS} peers that never read: {grown} KiB more");
    // Per peer: input of one read (128 KiB) and replies of one turn (64 KiB), twice for growth.
    assert!(grown <= PEERS as u64 * 2 * 192, "{grown} KiB for {PEERS} peers");
    Client::greeted(program.address()).deliver("served meanwhile\r\n");
    drop(peers);
}

/// Endless input is not kept.
#[test]
fn endless_lines_and_messages_take_bounded_memory() {
    let program = start(["--msg-size-limit", "1MiB", "--session-timeout", "10m"]);
    Client::greeted(program.address()).deliver("warm\r\n");
    let before = program.resident_kib();
    let chunk = vec![b'x'; 1 << 20];
    let mut line = Client::greeted(program.address());
    let mut message = Client::with_envelope(program.address());
    message.data();
    for _ in 0..64 {
        line.send(&chunk);
        message.send(&chunk);
    }
    assert_eq!(line.command(""), "500 Line too long");
    assert!(message.command("\r\n.").starts_with("552 "));
    let grown = program.resident_kib().saturating_sub(before);
    println!("64 MiB of line and 64 MiB of message: {grown} KiB more");
    assert!(grown <= 8 * 1024, "{grown} KiB");
}

/// Recipients were in memory twice where there was a rule or a record per session, and nobody was charged for them.
#[test]
fn recipients_take_no_more_memory_than_allowed() {
    const SESSIONS: usize = 5;
    // In each session 4 MB, together twice as much as may be in memory.
    const RECIPIENTS: usize = 1000;
    let path = "x".repeat(3980);
    let several = |first: usize| -> String {
        (first..first + 100).map(|number| format!("RCPT TO:<{path}{number}@c.example>\r\n")).collect()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("capture.jsonl");
    let capture = capture.to_str().expect("UTF-8");
    let captured = ["--capture", capture, "--capture-content", "envelope"];
    // Recipients of 4,000 octets in a MiB, and a few that are free.
    const ROOM: usize = 280;
    // With how many of all sessions that are accepted at most.
    let variants: [(&[&str], bool, usize); 5] = [
        // Where nobody reads records, nothing of a recipient stays.
        (&["--rule", "message to=*y* delay=1h"], false, SESSIONS * RECIPIENTS),
        // What one session has captured leaves room for the next.
        (&["--rule", "message to=*y* delay=1h"], true, SESSIONS * ROOM),
        (&["--rule", "rcpt to=*9@* reply=\"450 later\""], true, SESSIONS * ROOM),
        (&["--records", "session", "--multiple-rcptto"], true, ROOM),
        // Records that wait for their replies, and others behind them.
        (&["--response-delay-message", "1h"], true, ROOM),
    ];
    for (flags, is_captured, most) in variants {
        let records = if is_captured { &captured[..] } else { &[] };
        let program = start([&["--max-message-memory", "1MiB"], records, flags].concat());
        Client::greeted(program.address()).ehlo();
        let before = program.resident_kib();
        let mut clients: Vec<Client> = (0..SESSIONS).map(|_| Client::greeted(program.address())).collect();
        let mut accepted = 0;
        for client in &mut clients {
            client.ehlo();
            client.mail("ann@example.com");
            for first in (0..RECIPIENTS).step_by(100) {
                client.send(several(first));
                accepted += (0..100).filter(|_| client.reply().starts_with("250 ")).count();
            }
            // Those that were accepted go on to wait for the reply to their message.
            client.send("DATA\r\nx\r\n.\r\n");
        }
        let grown = program.resident_kib().saturating_sub(before);
        println!("{flags:?}: {grown} KiB more, {accepted} accepted");
        assert!((1..=most).contains(&accepted), "{accepted} were accepted with {flags:?}");
        assert!(grown <= 10 * 1024, "{grown} KiB with {flags:?}");
    }
}
