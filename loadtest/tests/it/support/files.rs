//! Files in a folder for the time of a test.

use serde_json::Value;
use tempfile::TempDir;

/// The path of a file in the folder, as an argument.
pub(crate) fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a path in UTF-8").to_owned()
}

/// What a file of JSON holds.
pub(crate) fn json(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON")
}
