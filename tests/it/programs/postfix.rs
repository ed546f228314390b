//! A Postfix of its own as a client, beside any other that runs on the machine.

use super::clients::{note_skipped, run_or_skip};

/// Sends a mail to these recipients by a Postfix with these settings, in lines of main.cf, and waits until it has tried each.
/// Returns its log; `None` where there is no Postfix.
pub(super) fn relay(settings: &str, recipients: &[&str]) -> Option<String> {
    // It needs root, and no other process may listen for it.
    if run_or_skip("sh", &["-c", "command -v postfix && test $(id -u) = 0 || true"], "")
        .is_none_or(|output| output.stdout.is_empty())
    {
        note_skipped("postfix", "or no root, who starts it");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let top = folder.path().display().to_string();
    let arguments = [&["-c", include_str!("postfix.py"), &top, settings], recipients].concat();
    run_or_skip("python3", &arguments, "").map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}
