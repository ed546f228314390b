//! Which rooms (folders) of a package's sources import which.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// All sources in a folder and its subfolders.
pub(crate) fn sources(folder: &str) -> Vec<(PathBuf, String)> {
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

/// A source without its comments and unit tests, which may name rooms that its code may not import.
pub(crate) fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    text.lines().map(without_comment).collect()
}

/// The rooms of a folder as they should be, with only lib.rs and main.rs, or mod.rs, beside them: `rooms` has all of them, each imports only what it may, and none in a circle.
pub(crate) fn check_rooms(folder: &str, prefix: &str, rooms: &[(&str, &[&str])]) {
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
    let flat: Vec<_> = std::fs::read_dir(&root)
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.is_file() && !["lib.rs", "main.rs", "mod.rs"].iter().any(|own| path.ends_with(own))
        })
        .collect();
    assert_eq!(flat, Vec::<PathBuf>::new(), "only lib.rs and main.rs, or mod.rs, stand beside the rooms");
    // Repeatedly removes rooms that import only removed rooms, until none is left.
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

/// The names that directly follow `prefix` in paths, including those in braces.
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
