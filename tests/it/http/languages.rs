//! The README's tests in other languages, run as they are written there, as far as their tools are installed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::programs::clients::output_or_skip;
use crate::support::client::Client;
use crate::support::http::{Plane, plane};
use crate::support::waiting::eventually;
use smtpmock::Config;

/// The block of this language in a section of the README, which asks the control plane of this test.
fn example(section: &str, language: &str, plane: &Plane) -> String {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once(&format!("\n### {section}\n")).expect("the section");
    let (section, _) = section.split_once("\n### ").expect("an end");
    let (_, block) = section.split_once(&format!("\n```{language}\n")).expect("the language");
    let (block, _) = block.split_once("\n```").expect("an end");
    assert!(block.contains("127.0.0.1:8025"), "{block}");
    block.replace("127.0.0.1:8025", &plane.http.to_string()) + "\n"
}

/// The application under test: once the rule is there it sends a mail, which is put off, and then accepted. It gives up when the
/// example has ended.
fn sign_up(plane: &Plane, has_ended: impl Fn() -> bool) {
    let mut inbox = None;
    eventually("the rule of the example, or its end", || {
        let rules = plane.server.stats().rules;
        let words = rules.first().map(|stats| stats.rule.clone()).unwrap_or_default();
        inbox = words.split(' ').find_map(|word| word.strip_prefix("inbox=")).map(str::to_owned);
        inbox.is_some() || has_ended()
    });
    let Some(inbox) = inbox else { return };
    let mut client = Client::greeted(plane.smtp());
    client.ehlo();
    client.mail("app@example.com");
    let rcpt = format!("RCPT TO:<bob+{inbox}@example.com>");
    assert_eq!(client.command(&rcpt), "451 4.7.1 Later");
    assert_eq!(client.command(&rcpt), "250 Received");
    client.message("Subject: Welcome\r\n\r\nYour code is 482913, or https://app.example/confirm?t=7\r\n");
}

/// Runs an example from a file in a folder of its own, and returns what it has printed. `prepare` does what takes long, and
/// returns how the example is run.
fn run(
    (section, language): (&str, &str),
    file: &str,
    prepare: impl FnOnce(&Path) -> Option<Command>,
) -> Option<String> {
    let plane = plane(Config::default());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(file);
    fs::write(&path, example(section, language, &plane)).expect("writable");
    let mut command = prepare(&path)?;
    thread::scope(|scope| {
        let example = scope.spawn(move || output_or_skip(&mut command, ""));
        sign_up(&plane, || example.is_finished());
        let output = example.join().expect("a run")?;
        assert!(output.status.success(), "{language}: {output:?}");
        assert_eq!(plane.server.stats().rules[0].fired, 1, "{language} has changed the behaviour");
        Some(String::from_utf8(output.stdout).expect("text"))
    })
}

const ANY: &str = "Tests in any language";

fn of(program: &str, arguments: &[&str], file: &Path) -> Option<Command> {
    let mut command = Command::new(program);
    command.args(arguments).arg(file);
    Some(command)
}

#[test]
fn the_test_in_javascript_passes() {
    run((ANY, "js"), "sign_up.mjs", |file| of("node", &[], file));
}

#[test]
fn the_test_in_python_passes() {
    run((ANY, "python"), "sign_up.py", |file| of("python3", &[], file));
}

#[test]
fn the_test_in_java_passes() {
    run((ANY, "java"), "SignUp.java", |file| of("java", &["-ea"], file));
}

#[test]
fn the_test_in_go_passes() {
    run((ANY, "go"), "sign_up_test.go", |file| {
        let folder = file.parent().expect("a folder");
        let program = folder.join("sign_up");
        let mut build = Command::new("go");
        // It stays: compiling the standard library takes half a minute.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
        build.env("GOCACHE", cache).env("GO111MODULE", "off").current_dir(folder);
        build.args(["test", "-c", "-o"]).arg(&program).arg(file);
        let built = output_or_skip(&mut build, "")?;
        assert!(built.status.success(), "{built:?}");
        Some(Command::new(program))
    });
}

#[test]
fn the_inbox_of_a_shell_script_is_its_own() {
    if output_or_skip(Command::new("curl").arg("--version"), "").is_none() {
        return;
    }
    let printed = run(("Inboxes", "sh"), "inbox.sh", |file| of("sh", &["-e"], file)).expect("sh runs");
    assert!(printed.contains("\"subject\":\"Welcome\"") && printed.ends_with("{\"deleted\":1}"), "{printed}");
}
