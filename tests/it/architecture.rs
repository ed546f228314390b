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
        .map(str::trim)
        .map(|line| line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line))
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
fn the_smtp_part_imports_no_other_room_and_few_crates() {
    let allowed = |root: &str, siblings: &[String]| {
        ALLOWED_ROOTS.contains(&root) || siblings.iter().any(|sibling| sibling == root)
    };
    for (path, text) in sources("src/smtp") {
        // `use` in a module that has modules may begin with one of them.
        let siblings: Vec<String> = modules(&text).collect();
        for root in imported_roots(&code(&text)) {
            assert!(allowed(&root, &siblings), "{} imports {root}", path.display());
        }
    }
}

/// The modules that a source declares.
fn modules(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let (front, name) = line.strip_suffix(';')?.rsplit_once("mod ")?;
        (front.is_empty() || front.starts_with("pub")).then(|| name.to_owned())
    })
}

/// The rooms of `src`, and which others each may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("config", &["log", "records", "smtp"]),
    ("log", &["output", "process", "smtp", "text"]),
    ("measure", &["smtp", "stats", "time"]),
    ("net", &["config", "log", "measure", "process", "records", "smtp", "stats", "time"]),
    ("output", &["process"]),
    ("process", &["time"]),
    ("program", &[]),
    ("records", &["output", "process", "smtp", "text", "time"]),
    ("report", &["smtp", "stats", "text"]),
    (
        "server",
        &["config", "log", "measure", "net", "output", "process", "records", "smtp", "stats", "text", "time"],
    ),
    ("smtp", &[]),
    ("stats", &["smtp", "text"]),
    ("text", &[]),
    ("time", &[]),
];

/// The rooms of a folder as they should be: `rooms` has all of them, each imports only what it may, and none in a circle.
fn check_rooms(folder: &str, prefix: &str, rooms: &[(&str, &[&str])]) {
    let names: Vec<&str> = rooms.iter().map(|(name, _)| *name).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for (path, text) in sources(folder) {
        let inside = path.strip_prefix(&root).expect("a source of the folder").to_owned();
        let Some(room) = inside.parent().and_then(|parent| parent.iter().next()) else { continue };
        let room = room.to_str().expect("a name");
        let (_, allowed) = rooms.iter().find(|(name, _)| *name == room).unwrap_or_else(|| {
            panic!("{} is in a room that has no line in the table of what each may import", path.display())
        });
        for imported in imported_rooms(&code(&text), prefix) {
            assert!(
                imported == room || !names.contains(&&*imported) || allowed.contains(&&*imported),
                "{}: {room} may not import {imported}",
                path.display()
            );
        }
    }
    // Rooms that import only rooms taken away before are taken away, until none is left.
    let mut left = rooms.to_vec();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
        left.retain(|(_, imports)| imports.iter().any(|import| names.contains(import)));
        assert!(
            left.len() < names.len(),
            "these rooms import each other in a circle, or are imported by it: {names:?}"
        );
    }
}

/// What stands directly behind `prefix` in paths, and in the braces there.
fn imported_rooms(code: &str, prefix: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let behind = &code[at + prefix.len()..];
        match behind.strip_prefix('{') {
            None => {
                rooms.insert(name(behind));
            }
            Some(list) => {
                let mut depth = 1;
                let end = list.find(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth == 0
                });
                rooms.extend(list[..end.unwrap_or(list.len())].split(',').map(name));
            }
        }
    }
    rooms
}

#[test]
fn rooms_import_only_what_they_may_and_never_in_a_circle() {
    check_rooms("src", "crate::", ROOMS);
    let flat: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.is_file() && !path.ends_with("lib.rs") && !path.ends_with("main.rs"))
        .collect();
    assert_eq!(flat, Vec::<PathBuf>::new(), "only lib.rs and main.rs stand beside the rooms");
}

#[test]
#[should_panic(expected = "in a circle")]
fn a_circle_of_rooms_is_seen() {
    let circle: Vec<(&str, &[&str])> = ROOMS
        .iter()
        .map(|(name, imports)| (*name, if *name == "time" { &["net"] as &[&str] } else { imports }))
        .collect();
    check_rooms("src", "crate::", &circle);
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
