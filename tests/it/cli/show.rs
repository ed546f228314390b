//! Mails displayed for people.

use std::fs;
use std::thread;

use crate::support::client::{Client, MESSAGE};
use crate::support::program::{command, run, start};
use crate::support::terminal::on_terminal;
use crate::support::waiting::eventually;

const MAIL: &str = "From: Ann <ann@example.com>\r\nSubject: =?utf-8?Q?Gr=C3=B6=C3=9Fe?= \x1b[2J\r\n\
    Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
    Gr=FC=DFe =1B[31m\r\n";

/// The displayed text after the heading, without colours.
const SHOWN: &str = "From:    ann@example.com (Ann <ann@example.com>)\nTo:      bob@example.com, carol@example.com\n\
    Subject: Größe \\u{1b}[2J\nSize:    184 B\n\n  Grüße \\u{1b}[31m\n\n";

fn send(client: &mut Client) {
    client.ehlo();
    client.mail("ann@example.com");
    client.rcpt("bob@example.com");
    client.rcpt("carol@example.com");
    client.message(MAIL);
}

#[test]
fn each_mail_is_shown_without_control_sequences_from_the_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("mail.jsonl");
    // Only envelopes are captured, but the text is shown nevertheless.
    let program = start([
        "--show",
        "--not-registered-emails=gone@example.com",
        "--capture-content=envelope",
        &format!("--capture={}", capture.display()),
    ]);
    let mut client = Client::greeted(program.address());
    let port = client.local_addr().port();
    send(&mut client);
    client.mail("refused@example.com");
    client.expect("RCPT TO:<gone@example.com>", "550 User not found");
    send(&mut client);
    client.quit();
    let ended = program.stopped();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    let mails: Vec<&str> = ended.stdout.split("Mail ").skip(1).collect();
    assert_eq!(mails.len(), 2, "{ended:?}");
    for (number, mail) in mails.iter().enumerate() {
        let (heading, rest) = mail.split_once('\n').expect("lines");
        assert!(heading.starts_with(&format!("{} at ", number + 1)), "{heading}");
        let place = format!(", session 1 from 127.0.0.1:{port}, id ");
        assert!(heading.contains(&place) && heading.ends_with(["-1-1", "-1-3"][number]), "{heading}");
        assert_eq!(rest, SHOWN);
    }
    let captured = fs::read_to_string(&capture).expect("readable");
    assert_eq!((captured.lines().count(), captured.contains("Gr=FC")), (3, false));
}

/// On a terminal there are colours unless they are turned off.
#[test]
fn colours_are_for_terminals_that_want_them() {
    for (variables, has_colours) in [
        ("TERM=xterm", true),
        ("TERM=xterm NO_COLOR=1", false),
        ("TERM=xterm NO_COLOR=", true),
        ("TERM=dumb", false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready.json");
        let program = command([""; 0]).get_program().to_string_lossy().into_owned();
        let line = format!(
            "env {variables} {program} --show --exit-after 1message --ready-file {}",
            ready.display()
        );
        let shown = thread::spawn(move || on_terminal(&line));
        eventually("it to listen, or to be skipped", || ready.exists() || shown.is_finished());
        if ready.exists() {
            let line = fs::read_to_string(&ready).expect("readable");
            let address = line.split('"').nth(3).expect("an address").parse().expect("an address");
            let mut client = Client::greeted(address);
            send(&mut client);
            client.quit();
        }
        let Some(shown) = shown.join().expect("a thread") else { return };
        let shown = shown.replace("\r\n", "\n");
        assert_eq!(shown.contains('\x1b'), has_colours, "{variables}: {shown:?}");
        let own = ["\x1b[36m", "\x1b[2m", "\x1b[1m", "\x1b[0m"];
        let plain = own.iter().fold(shown, |shown, own| shown.replace(own, ""));
        assert!(plain.contains(SHOWN), "{variables}: {plain:?}");
    }
}

#[test]
fn output_for_programs_is_not_mixed_with_output_for_people() {
    let ended = run(["--show", "--capture", "-"]);
    assert_eq!(ended.code(), Some(2), "{ended:?}");
    let complaint = ended.complaint();
    assert!(complaint.contains("--show and --capture both write to standard output"), "{complaint}");
    assert!(complaint.contains("expected a file for --capture"), "{complaint}");
}

#[test]
fn without_show_nothing_is_printed() {
    let program = start([""; 0]);
    let mut client = Client::greeted(program.address());
    client.deliver(MESSAGE);
    client.quit();
    assert_eq!(program.stopped().stdout, "");
}
