//! The README's snippets for a CI job work unchanged, and again in the same folder.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::client::{Client, MESSAGE};
use crate::support::waiting::{eventually, until};

/// The shell snippets in a section of the README.
fn snippets(section: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
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
    let snippets = snippets("In a CI job");
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

fn run(snippet: &str, folder: &Path) {
    let programs = Path::new(env!("CARGO_BIN_EXE_smtpmock")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), env::var("PATH").expect("a path"));
    let mut job = Command::new("sh")
        .args(["-ec", snippet])
        .current_dir(folder)
        .env("PATH", path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
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
