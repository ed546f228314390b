//! Which rooms (folders) of a package's sources import which, and the width of its comments.

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

/// A source without comments, texts and items for tests only, which may name rooms that its code may not import.
pub(crate) fn code(text: &str) -> String {
    if text.contains("\n#![cfg(test)]\n") {
        return String::new();
    }
    without_test_items(&without_comments_and_texts(text))
}

/// A source with each comment as one space, and texts and characters without their content.
fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_in_name = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let hashes = rest.strip_prefix('r').map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
        let is_raw = rest.strip_prefix('r').is_some_and(|raw| raw[hashes..].starts_with('"'));
        let (shown, length) = if rest.starts_with("//") {
            (" ", rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (" ", rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if is_raw && (!is_in_name || code.ends_with(['b', 'c'])) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            ("\"\"", rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()))
        } else if first == '"' {
            ("\"\"", 1 + quoted(&rest[1..], '"'))
        } else if rest.starts_with("'\\") {
            ("' '", 1 + quoted(&rest[1..], '\''))
        } else if first == '\'' && rest.chars().nth(2) == Some('\'') {
            ("' '", rest.char_indices().nth(3).map_or(rest.len(), |(end, _)| end))
        } else {
            (&rest[..first.len_utf8()], first.len_utf8())
        };
        code.push_str(shown);
        rest = &rest[length..];
    }
    code
}

/// The length of what is quoted, including the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let is_end = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Code without its items under `#[cfg(test)]`: each from the attribute to its closing brace, or to the `;` of an item
/// or the `,` of a field that has none.
fn without_test_items(code: &str) -> String {
    let Some((before, rest)) = code.split_once("#[cfg(test)]") else { return code.to_owned() };
    let mut depth = 0_i32;
    let end = rest.char_indices().find(|(_, c)| {
        depth += i32::from(matches!(c, '{' | '(' | '[')) - i32::from(matches!(c, '}' | ')' | ']'));
        depth < 0 || (depth == 0 && matches!(c, '}' | ';' | ','))
    });
    // A brace that was not opened here ends the code around the item.
    let end = end.map_or(rest.len(), |(at, c)| if depth < 0 { at } else { at + c.len_utf8() });
    before.to_owned() + &without_test_items(&rest[end..])
}

/// Checks the rooms of a folder, which has no other files than lib.rs and main.rs, or mod.rs: `rooms` has exactly
/// these, each imports only allowed ones, by the path of the room, and none in a circle.
pub(crate) fn check_rooms(folder: &str, prefix: &str, rooms: &[(&str, &[&str])]) {
    let names: Vec<&str> = rooms.iter().map(|(name, _)| *name).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for name in &names {
        assert!(root.join(name).is_dir(), "{name} is in the table, and {folder} has no such folder");
    }
    for (path, text) in sources(folder) {
        let inside = path.strip_prefix(&root).expect("a source of the folder").to_owned();
        let Some(room) = inside.parent().and_then(|parent| parent.iter().next()) else { continue };
        let room = room.to_str().expect("a name");
        let (_, allowed) = rooms.iter().find(|(name, _)| *name == room).unwrap_or_else(|| {
            panic!("{} is in a room that has no line in the table of what each may import", path.display())
        });
        let code = code(&text);
        if let Some(imported) = forbidden_import(&code, prefix, room, &names, allowed) {
            panic!("{}: {room} may not import {prefix}{imported}", path.display());
        }
        if let Some(supers) = way_out(&code, &inside) {
            panic!("{}: {supers} leaves {room}; name the room by {prefix}", path.display());
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
    check_circles(rooms);
}

/// As [`check_rooms`] for a folder whose modules are files, too: `modules` has all of them. What its mod.rs has is for all.
pub(crate) fn check_modules(folder: &str, prefix: &str, modules: &[(&str, &[&str])]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for (name, _) in modules {
        let is_there = root.join(name).is_dir() || root.join(format!("{name}.rs")).is_file();
        assert!(is_there, "{name} is in the table, and {folder} has no such module");
    }
    for (path, text) in sources(folder) {
        let inside = path.strip_prefix(&root).expect("a source of the folder").with_extension("");
        let module = inside.iter().next().and_then(|name| name.to_str()).expect("a name");
        if module == "mod" {
            continue;
        }
        let (_, allowed) = modules.iter().find(|(name, _)| *name == module).unwrap_or_else(|| {
            panic!("{} is a module that has no line in the table of what each may import", path.display())
        });
        let code = code(&text);
        let is_module = |name: &String| modules.iter().any(|(module, _)| module == name);
        for imported in imported_rooms(&code, prefix).into_iter().filter(is_module) {
            let is_allowed = imported == module || allowed.contains(&imported.as_str());
            assert!(is_allowed, "{}: {module} may not import {prefix}{imported}", path.display());
        }
        if let Some(supers) = way_out(&code, &inside.with_extension("rs")) {
            panic!("{}: {supers} leaves {module}; name the module by {prefix}", path.display());
        }
    }
    check_circles(modules);
}

/// The longest line of a comment. `rustfmt` wraps code at 110 characters, and no comments.
const COMMENT_WIDTH: usize = 130;

/// Checks the width of the comments in a folder. Rows of tables can't be wrapped.
pub(crate) fn check_comments(folder: &str) {
    for (path, text) in sources(folder) {
        for (index, line) in text.lines().enumerate() {
            let comment = line.trim_start();
            let is_row = comment.starts_with("//! |") || comment.starts_with("/// |");
            if comment.starts_with("//") && !is_row && line.chars().count() > COMMENT_WIDTH {
                panic!("{}:{}: a comment of more than {COMMENT_WIDTH} characters", path.display(), index + 1);
            }
        }
    }
}

/// Repeatedly removes rooms that import only removed rooms, until none is left.
pub(crate) fn check_circles(rooms: &[(&str, &[&str])]) {
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

/// The first forbidden import of a room: another room, or a re-exported name, which hides the room that it is from.
fn forbidden_import(
    code: &str,
    prefix: &str,
    room: &str,
    names: &[&str],
    allowed: &[&str],
) -> Option<String> {
    let may_be_imported = |name: &str| names.contains(&name) && (name == room || allowed.contains(&name));
    imported_rooms(code, prefix).into_iter().find(|imported| !may_be_imported(imported))
}

/// A chain of `super::` that leaves the room of a source, whose path begins with the folder of the room.
pub(crate) fn way_out(code: &str, inside: &Path) -> Option<String> {
    let depth = inside.with_extension("").iter().filter(|part| *part != "mod").count();
    let out = "super::".repeat(depth);
    code.contains(&out).then_some(out)
}

/// The names that directly follow `prefix` in paths, including those in braces.
pub(crate) fn imported_rooms(code: &str, prefix: &str) -> BTreeSet<String> {
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
                let list = &list[..end.unwrap_or(list.len())];
                // Only a comma outside inner braces separates rooms.
                let mut depth = 0;
                rooms.extend(
                    list.split(|c| {
                        depth += i32::from(c == '{') - i32::from(c == '}');
                        depth == 0 && c == ','
                    })
                    .map(name)
                    .filter(|name| !name.is_empty()),
                );
            }
        }
    }
    rooms
}

#[test]
fn only_items_for_tests_are_left_out_and_what_follows_them_is_checked() {
    let text = r##"
use crate::a::One; // crate::comment
#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "crate::attribute"]
pub(crate) fn helper(at: [u8; 2]) -> char { let _ = "}"; let _ = r#"}"}"#; let _ = '}'; '\'' }
struct Wide<'a> {
    #[cfg(test)]
    field: crate::field::Type,
    other: &'a crate::b::Two,
    #[cfg(test)]
    last: crate::last::Type
}
fn text() { "crate::text::Three" }
use crate::{c::{d, Four}, e};
"##;
    let imported = imported_rooms(&code(text), "crate::");
    assert_eq!(imported.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c", "e"]);
}

#[test]
fn names_that_hide_their_room_and_ways_out_of_a_room_are_seen() {
    let forbidden = |code| forbidden_import(code, "crate::", "here", &["here", "free", "other"], &["free"]);
    assert_eq!(forbidden("use crate::here::A; use crate::free::B;"), None);
    assert_eq!(forbidden("use crate::other::A;").as_deref(), Some("other"));
    assert_eq!(forbidden("let a = crate::Config::default();").as_deref(), Some("Config"));
    assert_eq!(forbidden("use crate::{free::A, units};").as_deref(), Some("units"));
    for (inside, code, leaves) in [
        ("net/mod.rs", "super::A", true),
        ("net/wheel.rs", "super::A", false),
        ("net/wheel.rs", "super::super::A", true),
        ("net/wheel/mod.rs", "super::super::A", true),
        ("net/wheel/slots.rs", "super::super::A", false),
        ("net/wheel/slots.rs", "super::super::super::A", true),
    ] {
        assert_eq!(way_out(code, Path::new(inside)).is_some(), leaves, "{inside}: {code}");
    }
}
