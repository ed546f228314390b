//! Imports point inward: a room imports no room around it.

use crate::support::rooms::{check_comments, check_modules, check_rooms, code, sources};

/// The rooms of `src`, and which others each may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("account", &["client"]),
    ("client", &[]),
    ("fleet", &["account", "load", "measure", "report", "run", "time"]),
    ("judge", &["account", "client", "report"]),
    ("load", &["client", "time"]),
    ("measure", &["account", "client", "load", "time"]),
    ("program", &["client", "fleet", "judge", "load", "report", "run", "verify"]),
    ("reactor", &["account", "client", "load", "measure", "time"]),
    ("report", &["account", "client", "measure", "time"]),
    ("run", &["account", "client", "load", "measure", "reactor", "report", "time"]),
    ("time", &[]),
    ("verify", &["account", "load", "report"]),
];

/// Rooms without sockets, files, threads and clocks.
const PURE: &[&str] = &["account", "client", "judge", "load"];

/// What no source of a pure room names. Addresses are values.
const IMPURE: &[&str] =
    &["mio", "rustix", "socket2", "std::fs", "std::thread", "TcpStream", "Instant", "SystemTime"];

#[test]
fn comments_fit_the_width() {
    check_comments("src");
    check_comments("tests");
}

#[test]
fn rooms_import_only_what_they_may_and_never_in_a_circle() {
    check_rooms("src", "crate::", ROOMS);
}

/// The modules of `src/fleet`, each with those that it may import.
const MODULES_OF_FLEET: &[(&str, &[&str])] = &[
    ("agent", &["limits", "offset", "protocol", "summary"]),
    ("bodies", &["connections", "protocol"]),
    ("checks", &["limits", "protocol"]),
    ("connections", &["protocol"]),
    ("coordinator", &["checks", "limits", "offset", "protocol"]),
    ("limits", &[]),
    ("offset", &[]),
    ("protocol", &["offset"]),
    ("serve", &["bodies", "connections", "coordinator", "protocol", "wire"]),
    ("simulation", &[]),
    ("sinks", &["wire"]),
    ("summary", &["coordinator", "limits", "offset", "protocol"]),
    ("wire", &[]),
    ("work", &["agent", "limits", "protocol", "wire"]),
];

/// The modules of `src/run`, each with those that it may import.
const MODULES_OF_RUN: &[(&str, &[&str])] = &[
    ("build", &["digest", "engine", "settings"]),
    ("digest", &["settings"]),
    ("engine", &[]),
    ("live", &[]),
    ("settings", &[]),
];

#[test]
fn modules_import_only_what_they_may_and_never_in_a_circle() {
    check_modules("src/fleet", "crate::fleet::", MODULES_OF_FLEET);
    check_modules("src/run", "crate::run::", MODULES_OF_RUN);
}

#[test]
#[should_panic(expected = "in a circle")]
fn a_circle_of_rooms_is_seen() {
    let circle: Vec<(&str, &[&str])> = ROOMS
        .iter()
        .map(|(name, imports)| (*name, if *name == "client" { &["report"] as &[&str] } else { imports }))
        .collect();
    check_rooms("src", "crate::", &circle);
}

#[test]
fn pure_rooms_name_no_socket_file_thread_or_clock() {
    for room in PURE {
        for (path, text) in sources(&format!("src/{room}")) {
            let code = code(&text);
            for word in IMPURE {
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                let found = code.match_indices(word).any(|(at, _)| {
                    !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part)
                });
                assert!(!found, "{} names {word}", path.display());
            }
        }
    }
}
