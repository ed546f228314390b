//! Runs a test in a separate process.

use std::env;
use std::process::Command;

use super::process::Ended;

/// Set in the process that runs one test.
const ALONE: &str = "TEST_ALONE";

/// Runs `test`, the whole body of the test called `name`, in a process that runs no other test. `name` includes the
/// modules, as the test harness prints it.
pub(crate) fn alone(name: &str, test: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    let ended = Ended::of(command.args([name, "--exact", "--nocapture"]).env(ALONE, "1"));
    assert!(ended.status.success() && ended.stdout.contains("1 passed"), "{}{}", ended.stdout, ended.stderr);
}
