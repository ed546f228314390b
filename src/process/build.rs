//! The commit and time of this build, set by the build script (`src/program/commit.rs`) for release builds. Hidden:
//! public because both programs use it.

/// The commit of the source.
const COMMIT: Option<&str> = option_env!("SMTPMOCK_COMMIT");

/// The time of the build, such as `2026-11-27T09:26:53Z`: `SOURCE_DATE_EPOCH`, or the time of the commit.
const TIME: Option<&str> = option_env!("SMTPMOCK_BUILD_TIME");

/// The day of the build, if known.
pub fn day() -> Option<&'static str> {
    TIME.and_then(|time| time.split('T').next())
}

/// The last lines of go-smtp-mock's `-v`, with its words for unknown values.
pub fn origin() -> String {
    let commit = COMMIT.unwrap_or("unknown-commit");
    let time = TIME.unwrap_or("unknown-buildtime");
    format!("commit: {commit}\nbuilt at: {time}")
}
