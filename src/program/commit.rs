//! The build script: names the commit of a release build for `--version`, from the repository or the package. Other builds do
//! not ask for it: each commit would build everything again.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const COMMIT: &str = "SMTPMOCK_COMMIT";

fn main() {
    println!("cargo::rerun-if-env-changed={COMMIT}");
    // One that is given is taken.
    if env::var_os(COMMIT).is_some() || env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    if let Some(commit) = of_repository().or_else(of_package) {
        println!("cargo::rustc-env={COMMIT}={commit}");
    }
}

/// The commit of the repository that this package is at the top of; not of one around it.
fn of_repository() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // Written by each commit and checkout.
    println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// What `cargo package` has noted.
fn of_package() -> Option<String> {
    let noted = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, behind) = noted.split_once("\"sha1\": \"")?;
    let (commit, _) = behind.split_once('"')?;
    Some(commit.to_owned())
}
