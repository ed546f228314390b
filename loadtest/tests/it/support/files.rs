//! Files in a temporary folder.

use serde_json::Value;
use tempfile::TempDir;

/// The path of a file in the folder, as an argument.
pub(crate) fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a path in UTF-8").to_owned()
}

/// The content of a JSON file.
pub(crate) fn json(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON")
}
