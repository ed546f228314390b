//! The build script: determines the commit and the time of a release build for `--version`, from the repository or the
//! package. Other builds do not need them: each commit would rebuild everything.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const COMMIT: &str = "SMTPMOCK_COMMIT";
const TIME: &str = "SMTPMOCK_BUILD_TIME";
/// Seconds since 1970, see <https://reproducible-builds.org/specs/source-date-epoch/>.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn main() {
    for variable in [COMMIT, TIME, EPOCH] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    // Changes with each commit and checkout. Only of a repository whose root is this package.
    let log = Path::new(".git").exists().then(|| git(&["rev-parse", "--git-path", "logs/HEAD"])).flatten();
    if let Some(log) = &log {
        println!("cargo::rerun-if-changed={log}");
    }
    let of_repository = |arguments: &[&str]| log.as_ref().and_then(|_| git(arguments));
    // Variables that are set take precedence.
    if env::var_os(COMMIT).is_none()
        && let Some(commit) = of_repository(&["rev-parse", "HEAD"]).or_else(of_package)
    {
        println!("cargo::rustc-env={COMMIT}={commit}");
    }
    if env::var_os(TIME).is_none()
        && let Some(seconds) = env::var(EPOCH).ok().or_else(|| of_repository(&["log", "-1", "--format=%ct"]))
        && let Ok(seconds) = seconds.trim().parse()
    {
        println!("cargo::rustc-env={TIME}={}", utc(seconds));
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The commit recorded by `cargo package`, without its time.
fn of_package() -> Option<String> {
    let noted = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, behind) = noted.split_once("\"sha1\": \"")?;
    let (commit, _) = behind.split_once('"')?;
    Some(commit.to_owned())
}

/// Such as `2026-11-27T09:26:53Z`. Years begin in March here, so that the leap day is the last.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (400 * era + year + month / 10, (month + 2) % 12 + 1);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
