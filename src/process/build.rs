//! What is known of this build. The build script (`src/program/commit.rs`) finds it out for release builds. Public because both
//! programs use it, but not part of the documented interface.

/// The commit that it is built from.
const COMMIT: Option<&str> = option_env!("SMTPMOCK_COMMIT");

/// When it was built, as in `2026-11-27T09:26:53Z`: `SOURCE_DATE_EPOCH`, or else the time of the commit.
const TIME: Option<&str> = option_env!("SMTPMOCK_BUILD_TIME");

/// The day on which it was built, if that is known.
pub fn day() -> Option<&'static str> {
    TIME.and_then(|time| time.split('T').next())
}

/// The last lines of go-smtp-mock's `-v`, and its words for what is not known.
pub fn origin() -> String {
    let commit = COMMIT.unwrap_or("unknown-commit");
    let time = TIME.unwrap_or("unknown-buildtime");
    format!("commit: {commit}\nbuilt at: {time}")
}
