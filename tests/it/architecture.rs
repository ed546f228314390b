//! Imports point inward: the SMTP part knows nothing of sockets, clocks, threads or the server around it. Also asserts which
//! crates are built for whom.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::rooms::{check_comments, check_modules, check_rooms, code, sources};

/// Paths that no file of `src/smtp/` may name.
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
const ALLOWED_ROOTS: &[&str] = &[
    "std",
    "memchr",
    "fearless_simd",
    "rand",
    "rand_distr",
    "unicode_properties",
    "base64",
    "bcrypt",
    "hmac",
    "md5",
    "pbkdf2",
    "sha1",
    "sha2",
    "subtle",
    "proptest",
    "super",
    "self",
    "crate",
];

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
        // `use` in a module may begin with one of its own modules.
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

/// The rooms of `src`, each with the rooms that it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("config", &["log", "records", "smtp", "text", "tls"]),
    (
        "http",
        &[
            "config", "mime", "net", "process", "records", "report", "search", "server", "smtp", "stats",
            "text", "time", "tls",
        ],
    ),
    ("log", &["output", "process", "smtp", "text"]),
    ("manual", &["process"]),
    ("measure", &["smtp", "stats", "time"]),
    ("mime", &[]),
    ("net", &["config", "log", "measure", "process", "records", "smtp", "stats", "time", "tls"]),
    ("output", &["process"]),
    ("process", &["time"]),
    ("program", &[]),
    ("records", &["mime", "output", "process", "smtp", "text", "time", "tls"]),
    ("report", &["smtp", "stats", "text"]),
    ("search", &["mime", "records", "smtp", "text"]),
    (
        "server",
        &[
            "config", "log", "measure", "net", "output", "process", "records", "search", "smtp", "stats",
            "text", "time", "tls",
        ],
    ),
    ("smtp", &[]),
    ("stats", &["smtp", "text", "tls"]),
    ("text", &[]),
    ("time", &[]),
    ("tls", &["process", "smtp", "time"]),
];

#[test]
fn comments_fit_the_width() {
    check_comments("src");
    check_comments("tests");
}

#[test]
fn rooms_import_only_what_they_may_and_never_in_a_circle() {
    check_rooms("src", "crate::", ROOMS);
}

/// The rooms of `src/smtp`, each with those on its left that it may import.
const ROOMS_IN_SMTP: &[(&str, &[&str])] = &[
    ("proxy", &[]),
    ("command", &[]),
    ("reply", &["command"]),
    ("rules", &["command", "reply"]),
    ("auth", &["rules"]),
    ("policy", &["auth", "command", "reply", "rules"]),
    ("receive", &["command", "policy", "reply"]),
    ("record", &["auth", "command", "policy", "reply"]),
    ("session", &["auth", "command", "policy", "receive", "record", "reply", "rules"]),
];

#[test]
fn rooms_of_the_smtp_part_import_only_what_they_may_and_never_in_a_circle() {
    check_rooms("src/smtp", "crate::smtp::", ROOMS_IN_SMTP);
}

/// The modules of `src/http`, each with those that it may import: interfaces share what is not theirs alone, and know nothing of
/// each other.
const MODULES_OF_HTTP: &[(&str, &[&str])] = &[
    (
        "api",
        &[
            "body",
            "call",
            "changes",
            "desk",
            "document",
            "download",
            "events",
            "expiry",
            "exposition",
            "marks",
            "markup",
            "metrics",
            "parameters",
            "reply",
            "route",
        ],
    ),
    ("body", &["budget", "events", "places"]),
    ("budget", &[]),
    ("call", &["budget", "parameters", "reply"]),
    ("changes", &["call", "reply"]),
    ("connections", &["call", "listener", "places", "router", "stream"]),
    ("desk", &["budget", "reply"]),
    ("document", &["reply"]),
    ("download", &["reply"]),
    ("events", &[]),
    ("expiry", &[]),
    ("exposition", &[]),
    ("facade", &[]),
    ("guard", &["call", "reply", "settings"]),
    ("indexes", &[]),
    ("listener", &["stream"]),
    ("mailhog", &["call", "changes", "desk", "document", "download", "facade", "reply", "route"]),
    (
        "mailpit",
        &[
            "call",
            "changes",
            "desk",
            "document",
            "download",
            "facade",
            "markup",
            "parameters",
            "reply",
            "route",
            "websocket",
        ],
    ),
    ("marks", &["reply"]),
    ("markup", &[]),
    ("metrics", &["exposition"]),
    ("page", &["call", "reply", "route"]),
    ("parameters", &["reply"]),
    ("places", &[]),
    ("received", &["budget", "reply"]),
    ("removals", &["events"]),
    ("reply", &["body", "budget"]),
    ("route", &["call", "parameters", "reply"]),
    ("router", &["api", "call", "mailhog", "mailpit", "page", "parameters", "received", "reply", "route"]),
    ("settings", &[]),
    ("stream", &["places"]),
    ("websocket", &[]),
];

#[test]
fn modules_of_the_control_plane_import_only_what_they_may_and_never_in_a_circle() {
    check_modules("src/http", "crate::http::", MODULES_OF_HTTP);
}

#[test]
#[should_panic(expected = "may not import crate::http::reply")]
fn an_import_of_a_module_that_is_not_in_the_table_is_found() {
    let without: Vec<(&str, &[&str])> = MODULES_OF_HTTP
        .iter()
        .map(|(name, imports)| (*name, if *name == "download" { &[] as &[&str] } else { imports }))
        .collect();
    check_modules("src/http", "crate::http::", &without);
}

#[test]
#[should_panic(expected = "in a circle")]
fn a_circle_of_rooms_is_found() {
    let circle: Vec<(&str, &[&str])> = ROOMS
        .iter()
        .map(|(name, imports)| (*name, if *name == "time" { &["net"] as &[&str] } else { imports }))
        .collect();
    check_rooms("src", "crate::", &circle);
}

#[test]
#[should_panic(expected = "no such folder")]
fn a_room_that_is_gone_has_no_line_in_the_table() {
    check_rooms("src", "crate::", &[ROOMS, &[("lobby", &[])]].concat());
}

/// Paths that a document names in backticks, and the targets of its links: those that can be of files of the project.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        let starts = ["src/", "tests/", "benches/", "loadtest/", "../"];
        let is_word = !word.contains(|letter: char| letter.is_whitespace() || "*<>{}:".contains(letter));
        is_word
            && (word.ends_with(".rs")
                || word.ends_with(".md")
                || starts.iter().any(|start| word.starts_with(start)))
    };
    let targets = text.split("](").skip(1).filter_map(|behind| behind.split([')', '#']).next());
    let is_inside = |target: &&str| !target.is_empty() && !target.contains(':');
    quoted.filter(is_path).chain(targets.filter(is_inside))
}

#[test]
fn files_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = [
        "README.md",
        "loadtest/README.md",
        "loadtest/SCHEMA.md",
        "src/net/LIFECYCLE.md",
        "src/report/SCHEMA.md",
        "src/smtp/rules/RULES.md",
        "tests/transcripts/README.md",
    ];
    let mut named = 0;
    for document in documents.map(|document| root.join(document)) {
        let text = std::fs::read_to_string(&document).expect("a document");
        let folder = document.parent().expect("a folder");
        for path in named_paths(&text) {
            assert!(folder.join(path).exists(), "{} names {path}, which does not exist", document.display());
            named += 1;
        }
    }
    assert!(named > 30, "{named} files are named");
}

/// The output of this cargo command, without network access.
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

/// The crates that a package is built with, including itself.
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

#[test]
fn a_library_that_parses_mails_needs_no_http() {
    let with = |features: &str| {
        let arguments =
            ["tree", "--package", "smtpmock", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
        let tree = cargo(&[&arguments[..], &["--no-default-features", "--features", features]].concat());
        tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let parsing = with("mime");
    assert!(parsing.contains("mail-parser"));
    for absent in ["hyper", "tokio", "rustls", "clap"] {
        assert!(!parsing.contains(absent), "{absent}");
    }
}
