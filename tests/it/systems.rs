//! What differs between systems stands in few places, and `src/process/SYSTEMS.md` lists them all.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::rooms::sources;

const NAMES: &[&str] = &["std::os", "rustix", "target_os", "/proc"];

/// The names that the code of each file has, without its comments and tests.
fn found() -> BTreeMap<String, Vec<&'static str>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for (path, text) in ["src", "loadtest/src"].into_iter().flat_map(sources) {
        let file =
            path.strip_prefix(root).expect("a source of this repository").to_string_lossy().into_owned();
        if file.ends_with("/tests.rs") || file.contains("/tests/") {
            continue;
        }
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let names = NAMES.iter().copied().filter(|name| lines.iter().any(|line| names(line, name)));
        let names: Vec<_> = names.collect();
        if !names.is_empty() {
            found.insert(file, names);
        }
    }
    found
}

fn names(line: &str, name: &str) -> bool {
    match name {
        "/proc" => line.contains("\"/proc/"),
        "std::os" | "rustix" => line.contains(&format!("{name}::")),
        _ => line.contains(name),
    }
}

/// The first two columns of the table.
fn listed() -> BTreeMap<String, Vec<&'static str>> {
    let table = include_str!("../../src/process/SYSTEMS.md");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut columns = row.split('|').map(str::trim).skip(1);
        let file = columns.next().expect("a file").trim_matches('`').to_owned();
        let listed = columns.next().expect("names");
        (file, NAMES.iter().copied().filter(|name| listed.contains(&format!("`{name}`"))).collect())
    })
    .collect()
}

#[test]
fn every_place_that_names_a_system_is_in_the_list() {
    assert_eq!(found(), listed(), "found in the sources, and listed in src/process/SYSTEMS.md");
}
