//! Imports point inward: the SMTP part knows nothing of sockets, clocks, threads or the server around it. And
//! what is built for whom.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What no file of `src/smtp/` may name.
const FORBIDDEN_IN_SMTP: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "SocketAddr",
    "std::thread",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::time::Instant",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "static mut",
];

/// Crates `src/smtp/` may name in a path; `crate` only as far as `crate::smtp`. Delays are drawn from
/// distributions, and a well-kept library draws better than own code: what it draws from is a seed that comes in
/// as a value, so the part stays pure. Properties stand beside what they are about.
const ALLOWED_ROOTS: &[&str] =
    &["std", "memchr", "fearless_simd", "rand", "rand_distr", "proptest", "super", "self", "crate"];

/// All sources of a folder and the folders in it.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a readable source");
                sources.push((path, text));
            }
        }
    }
    sources
}

/// A source without its comments and unit tests: they may name what its code may not.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    text.lines().map(without_comment).collect()
}

/// The first segment of every `use` path.
fn imported_roots(code: &str) -> Vec<String> {
    code.lines()
        .filter_map(|line| line.trim().strip_prefix("pub(crate) ").or(Some(line.trim())))
        .filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("use "))
        .map(|path| path.split([':', ';', ' ']).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_smtp_part_names_no_socket_clock_or_thread() {
    let sources = sources("src/smtp");
    assert!(sources.len() >= 8, "src/smtp/ has moved");
    for (path, text) in sources {
        let code = code(&text);
        for word in FORBIDDEN_IN_SMTP {
            let found = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).any(|name| {
                name == *word
                    || name.ends_with(&format!("::{word}"))
                    || name.starts_with(&format!("{word}::"))
            });
            assert!(!found, "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_smtp_part_imports_no_other_part_and_few_crates() {
    let siblings: Vec<String> = sources("src/smtp")
        .iter()
        .filter_map(|(path, _)| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    for (path, text) in sources("src/smtp") {
        let code = code(&text);
        for root in imported_roots(&code) {
            let is_sibling = path.ends_with("mod.rs") && siblings.contains(&root);
            assert!(
                is_sibling || ALLOWED_ROOTS.contains(&root.as_str()),
                "{} imports {root}",
                path.display()
            );
        }
        let leaves = code.match_indices("crate::").any(|(at, _)| !code[at..].starts_with("crate::smtp"));
        assert!(!leaves, "{} reaches out of crate::smtp", path.display());
    }
}

/// What cargo prints for this command, without a look at the network.
fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    let output = command
        .args(arguments)
        .args([
            "--locked",
            "--offline",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The crates that a package is built with, itself included.
fn crates(package: &str, edges: &str) -> BTreeSet<String> {
    let tree =
        cargo(&["tree", "--package", package, "--edges", edges, "--prefix", "none", "--format", "{p}"]);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn what_a_newcomer_runs_first_needs_only_the_dependencies_of_the_program() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let is_first_mail = |target: &Value| target["name"] == "first_mail" && target["kind"][0] == "example";
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let packages = list(&metadata["packages"]);
    let owner = packages.iter().find(|package| list(&package["targets"]).iter().any(is_first_mail));
    let owner = owner.expect("a package with the example");
    assert!(
        list(&metadata["workspace_default_members"]).contains(&owner["id"]),
        "cargo run --example first_mail does not find it"
    );
    let name = owner["name"].as_str().expect("a name");
    let mut needed = crates(name, "normal,build,dev");
    needed.remove(name);
    let program = crates("smtpmock", "normal,build");
    assert_eq!(needed.difference(&program).collect::<Vec<_>>(), Vec::<&String>::new());
}
