//! Authentication as the program has it: its flags, and where secrets must not be.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::program::{command, run, start, start_command};
use crate::support::sasl::{self, base64};
use crate::support::waiting::eventually;

const PASSWORD: &str = "hunter2-hunter2";
const TOKEN: &str = "t0ken-t0ken-t0ken";

/// Sends secrets in every way that a client may: right and wrong, in commands and responses, too long, cut, out of
/// sequence, with a mechanism that is not known. Returns the texts that nobody may see.
fn authenticate(address: std::net::SocketAddr) -> Vec<String> {
    let plain = base64(format!("\0ann\0{PASSWORD}"));
    let (password, token) = (base64(PASSWORD), base64(format!("user=ann\x01auth=Bearer {TOKEN}\x01\x01")));
    let long = password.repeat(500);
    let commands = [
        format!("AUTH PLAIN {plain}"),
        format!("auth  plain  {plain}"),
        format!("AUTH X-UNKNOWN {plain}"),
        format!("AUTH {password}{password}"),
        format!("AUTH\tPLAIN\t{plain}"),
        format!("AUTH PLAIN {plain} {password}"),
        format!("AUTH PLAIN {long}"),
        format!("AUTH XOAUTH2 {token}"),
    ];
    for line in &commands {
        Client::greeted(address).command(line);
        let mut client = Client::extended(address);
        client.command(line);
        client.command(line);
    }
    let mut login = Client::extended(address);
    login.command("AUTH LOGIN");
    login.command(&base64("ann"));
    login.command(&password);
    // Responses sent without waiting, behind commands that are refused: too long, before EHLO, behind garbage, unknown.
    // Lengths in two pieces and in one, below and above the limit of AUTH.
    let fronts = ["AUTH LOGIN ", "AUTH\tLOGIN ", "XAUTH LOGIN ", "\0\0 AUTH LOGIN ", "garbageAUTH LOGIN "];
    for front in fronts
        .iter()
        .flat_map(|front| [0, 30, 5_000, 13_000].map(|length| format!("{front}{}", "x".repeat(length))))
    {
        let responses = format!("\r\n{}\r\n{password}\r\nNOOP\r\nQUIT\r\n", base64("ann"));
        for mut client in [Client::greeted(address), Client::extended(address)] {
            client.send(format!("{front}{responses}"));
            client.rest();
        }
        let mut slow = Client::extended(address);
        slow.send(&front);
        slow.silence(Duration::from_millis(5)).expect("the line has not ended");
        slow.send(responses);
        slow.rest();
    }
    // Commands that the server does not have, and a long response behind one that it refuses.
    let near = ["AUTHPLAIN ", "XAUTH PLAIN ", "\0AUTH PLAIN ", "AUTH"].map(|front| format!("{front}{plain}"));
    for line in near {
        Client::extended(address).command(&line);
    }
    let mut refused = Client::extended(address);
    refused.command("AUTH X-UNKNOWN");
    refused.command(&long);
    let mut cut = Client::extended(address);
    cut.command("AUTH X-UNKNOWN");
    cut.send(&long[..5000]);
    cut.half_close();
    cut.rest();
    // It ends within a line.
    let mut cut = Client::extended(address);
    cut.command("AUTH PLAIN");
    cut.send(&plain);
    cut.half_close();
    cut.rest();
    let mut cut = Client::extended(address);
    cut.send(format!("AUTH PLAIN {long}{long}{long}"));
    cut.half_close();
    cut.rest();
    let mut mail = Client::extended(address);
    mail.command(&commands[0]);
    for line in ["MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>", "DATA", "hi\r\n."] {
        mail.command(line);
    }
    mail.command(&commands[0]);
    mail.command("QUIT");
    vec![plain, password, token, PASSWORD.to_owned(), TOKEN.to_owned()]
}

#[test]
fn no_secret_is_in_a_log_a_capture_or_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let credentials = [format!("--auth=ann:{PASSWORD}"), format!("--auth-token={TOKEN}")];
    for (number, auth) in [&credentials[..], &[]].into_iter().enumerate() {
        let files = [("capture", "c"), ("report-json", "j"), ("report-html", "h"), ("hlog", "l")];
        let path = |name: &str| path(&format!("{name}{number}"));
        let outputs = files.iter().map(|(flag, name)| format!("--{flag}={}", path(name)));
        let flags = ["--log", "--report", "--records=session"].map(str::to_owned);
        let program = start(flags.into_iter().chain(outputs).chain(auth.iter().cloned()));
        let secrets = authenticate(program.address());
        let ended = program.stopped();
        let mut texts = vec![("the log", ended.stdout), ("the errors", ended.stderr)];
        texts.extend(files.map(|(what, name)| (what, fs::read_to_string(path(name)).expect("an output"))));
        assert!(texts[0].1.contains("SMTP request: AUTH PLAIN <redacted>"), "{}", texts[0].1);
        for (what, text) in &texts {
            let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
            assert_eq!(found, None, "in {what}: {text}");
        }
        if !auth.is_empty() {
            assert!(texts[0].1.contains("SMTP request: <redacted>"), "responses are logged as such");
            assert!(texts[3].1.contains("ann:<redacted>"), "{}", texts[3].1);
            let records = texts[2].1.lines().map(|line| serde_json::from_str(line).expect("JSON"));
            let records: Vec<Value> = records.collect();
            let sent = records.iter().find(|record| record["msg"] == true).expect("a mail");
            assert_eq!((&sent["auth_user"], &sent["auth_mechanism"]), (&"ann".into(), &"PLAIN".into()));
            assert_eq!(sent["auth_request"], "AUTH PLAIN <redacted>");
            assert!(records.iter().any(|record| record.get("auth_user").is_none()), "others have not");
        }
    }
}

#[test]
fn users_come_from_flags_a_variable_and_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    fs::write(&file, "# by htpasswd\nbob:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        .expect("writable");
    let mut command = command(["--ready", "--auth-mechanisms=plain", "--auth-required", "--auth-file"]);
    command.arg(&file).env("SMTPMOCK_AUTH", "ann:se:cret\ncarol: x ");
    let program = start_command(&mut command);
    for (user, password) in [("ann", "se:cret"), ("bob", "secret"), ("carol", " x ")] {
        let mut client = Client::extended(program.address());
        client.expect("MAIL FROM:<a@b.example>", "530 5.7.0 Authentication required");
        client.expect(&sasl::plain(user, password), "235 2.7.0 Authentication successful");
    }
    assert_eq!(program.stopped().code(), Some(0));
}

/// Editors of other systems write a byte order mark in front.
#[test]
fn a_byte_order_mark_locked_out_the_first_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    fs::write(&file, "\u{feff}ann:secret\r\n").expect("writable");
    let program = start(["--auth-file", &file.display().to_string()]);
    let mut client = Client::extended(program.address());
    client.expect(&sasl::plain("ann", "secret"), "235 2.7.0 Authentication successful");
    assert_eq!(program.stopped().stderr, "");
}

#[test]
fn a_hash_that_takes_seconds_to_check_is_named_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    let hash = |cost: u8| format!("$2y${cost}$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW");
    fs::write(&file, format!("ann:{}\nbob:{}\n", hash(14), hash(17))).expect("writable");
    let ended = run(["--auth-file", &file.display().to_string(), "--exit-after=10ms"]);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let expected = "line 2: expected a cost of bcrypt below 15: at this one a check takes seconds";
    let complaint = ended.complaint();
    assert!(
        complaint.starts_with("smtpmock: warning: --auth-file ") && complaint.ends_with(expected),
        "{complaint}"
    );
}

/// A hash of 2^31 rounds: its check takes weeks. What ends the program ends it too.
#[test]
fn a_check_that_does_not_end_delays_no_other_session_and_no_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let users = "ann:$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\nbob:secret\n";
    fs::write(path("users"), users).expect("writable");
    let report = path("report.json");
    let program = start([&format!("--auth-file={}", path("users")), &format!("--report-json={report}")]);
    let line = sasl::plain("ann", "secret") + "\r\n";
    let [mut waits, mut leaves, mut hidden] = [(); 3].map(|()| Client::extended(program.address()));
    waits.send(format!("{line}NOOP\r\n"));
    leaves.send(&line);
    hidden.send(format!("AUTH LOGIN\r\n{}\r\n{}\r\n", base64("ann"), base64("secret")));
    assert_eq!(hidden.reply(), "334 VXNlcm5hbWU6");
    assert_eq!(hidden.reply(), "334 UGFzc3dvcmQ6");
    let mut other = Client::extended(program.address());
    other.expect(&sasl::plain("bob", "secret"), "235 2.7.0 Authentication successful");
    leaves.leave();
    other.expect("NOOP", "250 2.0.0 Ok");
    other.expect("QUIT", "221 2.0.0 Closing connection");
    let ended = program.stopped();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(waits.rest(), "421 4.3.2 Service closing transmission channel\r\n");
    assert_eq!(hidden.rest(), "421 4.3.2 Service closing transmission channel\r\n");
    let report: Value = serde_json::from_str(&fs::read_to_string(report).expect("a report")).expect("JSON");
    let figures = &report["metrics"];
    assert_eq!((&figures["auth.plain"], &figures["auth.failed"]), (&1.into(), &0.into()), "{figures}");
    assert_eq!(figures["sessions.gave_up"], 1, "{figures}");
}

/// The check of another session does not end, so that theirs never begin.
#[test]
fn sessions_that_have_ended_their_output_do_not_wait_long_for_a_check_to_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users");
    fs::write(&users, "ann:$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        .expect("writable");
    let flags = ["--shards=2", "--max-sessions=8", "--auth-file"].map(str::to_owned);
    let program = start(flags.into_iter().chain([users.display().to_string()]));
    let line = sasl::plain("ann", "secret") + "\r\n";
    let mut clients: Vec<_> = (0..8).map(|_| Client::extended(program.address())).collect();
    clients.iter_mut().for_each(|client| client.send(&line));
    assert_eq!(Client::connect(program.address()).reply(), "421 4.7.0 Too many sessions");
    // Each ends but that whose check runs, which is any of them where shards run at once.
    clients.iter_mut().for_each(Client::half_close);
    eventually("places are free", || {
        let mut others: Vec<_> = (0..7).map(|_| Client::connect(program.address())).collect();
        others.iter_mut().all(|other| other.reply().starts_with("220 "))
    });
    let tasks = fs::read_dir(format!("/proc/{}/task", program.pid())).expect("Linux");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name == "smtpmock-auth\n").count(), 1, "one thread for all shards");
    assert_eq!(program.stopped().code(), Some(0));
}

#[test]
fn wrong_values_are_refused_with_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    fs::write(&file, "ann:secret\nbob:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n").expect("writable");
    let file = file.display().to_string();
    let nul = folder.path().join("nul");
    fs::write(&nul, "ann:secret\nb\0b:secret\n").expect("writable");
    let nul = nul.display().to_string();
    for (arguments, complaint) in [
        (&["--auth", "ann"][..], "for --auth: expected USER:PASSWORD, like ann:secret, or any"),
        (&["--auth", ""], "expected USER:PASSWORD"),
        (&["--auth", "ann:"], "expected USER:PASSWORD"),
        (&["--auth=ann:a", "--auth=ann:b"], "expected one password for each user"),
        (&["--auth-token="], "expected a token of visible characters"),
        (&["--auth-mechanisms=PLAN"], "unknown mechanism \"PLAN\": did you mean PLAIN?"),
        (
            &["--auth=any", "--auth-mechanisms=,"],
            "for --auth-mechanisms: expected names separated by single commas",
        ),
        (
            &["--auth=any", "--auth-mechanisms=PLAIN,,LOGIN"],
            "\"PLAIN,,LOGIN\" for --auth-mechanisms: expected names",
        ),
        (&["--trust=127.0.0.1,"], "\"127.0.0.1,\" for --trust: expected names"),
        (&["--tls-name=,"], "\",\" for --tls-name: expected names"),
        (&["--auth-mechanisms=PLAIN"], "expected a user with a password, or any, for PLAIN"),
        (
            &["--auth=any", "--auth-mechanisms=PLAIN,SCRAM-SHA-1"],
            "\"SCRAM-SHA-1\" for --auth-mechanisms: expected a user",
        ),
        (&["--auth-required"], "smtpmock: --auth-required: expected somebody who can authenticate"),
        (&["--auth=any", "--extensions=SIZE"], "for --extensions: expected AUTH among"),
        (&["--auth-file=/nowhere/users"], "for --auth-file: expected a readable file"),
        (&["--auth-file", &nul], "line 2: expected a user without control characters"),
        (&["--auth=a\tb:x"], "expected a user with a name, without control characters"),
        (&["--auth-file", &file], "line 2: expected a hash by bcrypt ($2y$, written by htpasswd -B)"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code(), Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.complaint().contains(complaint), "{arguments:?}: {}", ended.complaint());
    }
}

/// The switch had no effect.
#[test]
fn a_switch_that_is_off_beside_a_flag_that_turns_it_on_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    fs::write(&file, "esmtp = false\n").expect("writable");
    let file = format!("--config={}", file.display());
    for (off, by, names) in [
        ("--esmtp=false", "--auth=any", "--esmtp is off, but --auth turns it on"),
        ("--esmtp=false", "--auth-required", "--esmtp is off, but --auth-required turns it on"),
        ("--esmtp=false", "--extensions=SIZE", "--esmtp is off, but --extensions turns it on"),
        ("--esmtp=false", "--ehlo-line=X", "--esmtp is off, but --ehlo-line turns it on"),
        ("--esmtp=false", "--tls", "--esmtp is off, but --tls turns it on"),
        ("--esmtp=false", "--tls-name=a.example", "--esmtp is off, but --tls-name turns it on"),
        ("--tls=false", "--tls-name=a.example", "--tls is off, but --tls-name turns it on"),
        (&file, "-auth=any", "line 1 is off, but -auth turns it on"),
    ] {
        for arguments in [[off, by], [by, off]] {
            let ended = run(arguments);
            assert_eq!(ended.code(), Some(2), "{arguments:?}: {ended:?}");
            assert!(ended.complaint().contains(names), "{arguments:?}: {}", ended.complaint());
        }
    }
    for arguments in [
        &["--esmtp=false", "--tls=false", "--auth-required=false", "--extensions="][..],
        &["--esmtp=false", "--esmtp", "--auth=any"],
    ] {
        assert_eq!(run([arguments, &["--exit-after=10ms"]].concat()).code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_refusal_at_the_start_shows_no_secret() {
    const SECRET: &str = "hunter2-hunter2";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    let stderr = |mut command: std::process::Command| {
        let output = command.output().expect("it runs");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("text")
    };
    let by_flags = |flags: &[&str]| stderr(command(flags));
    let by_file = |text: &str| {
        fs::write(&file, text).expect("a file");
        by_flags(&["--config", file.to_str().expect("text")])
    };
    let mut by_variable = command::<&str>([]);
    by_variable.env("SMTPMOCK_AUTH", format!("ann:{SECRET}\nbob"));
    for (text, names) in [
        (by_flags(&["--auth", SECRET]), "for --auth: expected USER:PASSWORD"),
        (by_flags(&["--auth", &format!(":{SECRET}")]), "for --auth: expected USER:PASSWORD"),
        (by_flags(&["--auth-token", &format!("a {SECRET}")]), "for --auth-token: expected a token"),
        (stderr(by_variable), "for SMTPMOCK_AUTH: expected USER:PASSWORD"),
        (by_file(&format!("auth-token = \"a {SECRET}\"\n")), "line 1: expected a token"),
        (by_file(&format!("auth = [\n\"ann:{SECRET}\", bob]\n")), "line 2: invalid TOML"),
        (by_file(&format!("auth = 'ann:{SECRET}' x\n")), "line 1: invalid TOML"),
    ] {
        assert!(text.contains(names) && !text.contains(SECRET), "{text}");
    }
}
