//! The README's snippets for a CI job work unchanged, and again in the same folder.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::programs::clients::run_or_skip;
use crate::support::client::{Client, MESSAGE};
use crate::support::waiting::{eventually, until};

/// The shell snippets in a section of the README, whose heading begins with `level`.
fn snippets(level: &str, section: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once(&format!("\n{level} {section}\n")).expect("the section");
    let section = section.split(&format!("\n{level} ")).next().expect("its text");
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("an end").to_owned()).collect()
}

/// Prints the port that it was given and waits until this test has sent its mails there.
const RUN_MY_TESTS: &str = "#!/bin/sh
echo \"$SMTP_PORT\" > port.new && mv port.new port
until [ -e sent ]; do sleep 0.02; done
rm port sent
";

#[test]
fn the_snippets_failed_on_files_of_their_earlier_run() {
    let snippets = snippets("##", "In a CI job");
    assert_eq!(snippets.len(), 2);
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("run-my-tests");
    fs::write(&script, RUN_MY_TESTS).expect("writable");
    let executable = Command::new("chmod").arg("+x").arg(&script).status();
    assert!(executable.expect("chmod runs").success());
    // The files of a run that was killed.
    fs::write(folder.path().join("ready.json"), "{\"smtp\":[\"127.0.0.1:1\"],\"pid\":1}\n")
        .expect("writable");
    for snippet in snippets.iter().chain(&snippets) {
        run(snippet, folder.path());
    }
}

#[test]
fn the_snippet_for_tls_sends_to_a_server_that_is_verified() {
    for client in ["curl", "swaks"] {
        if run_or_skip(client, &["--version"], "").is_none() {
            return;
        }
    }
    let [snippet, ..] = &snippets("###", "TLS")[..] else { panic!("none") };
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mail.eml"), MESSAGE).expect("writable");
    for _ in 0..2 {
        let status = shell(snippet, folder.path()).status().expect("sh runs");
        assert!(status.success(), "{status} of\n{snippet}");
    }
}

fn shell(snippet: &str, folder: &Path) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_smtpmock")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), env::var("PATH").expect("a path"));
    let mut command = Command::new("sh");
    command.args(["-ec", snippet]).current_dir(folder).env("PATH", path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(snippet: &str, folder: &Path) {
    let mut job = shell(snippet, folder).spawn().expect("sh runs");
    let port = folder.join("port");
    let mut is_over = || job.try_wait().expect("a child");
    eventually("a server to send to", || port.exists() || is_over().is_some());
    let port: u16 = fs::read_to_string(port).expect("a port").trim().parse().expect("a number");
    for _ in 0..3 {
        let mut client = Client::greeted(SocketAddr::from(([127, 0, 0, 1], port)));
        client.deliver(MESSAGE);
        client.quit();
    }
    fs::write(folder.join("sent"), "").expect("writable");
    let status = until(|| is_over().ok_or("it hangs"));
    assert!(status.success(), "{status} of\n{snippet}");
}
