//! Where outputs go: each needs a place of its own.

use std::ffi::OsStr;

use super::flags::{OUTPUTS, REPORT};
use super::goflags::Given;
use super::{Failure, typed_as, values};

const STANDARD_OUTPUT: &str = "-";

/// Of two outputs in one file the last would overwrite the other, and on standard output they would mix.
pub(super) fn check(given: &[Given]) -> Result<(), Failure> {
    let outputs = OUTPUTS.iter().filter_map(|&kebab| Some((kebab, place(kebab, given)?)));
    let mut told: Vec<(&str, &OsStr)> = Vec::new();
    for (kebab, own) in outputs {
        if let Some((other, _)) = told.iter().find(|(_, place)| *place == own) {
            return Err(collision(own, &typed_as(kebab, given), &typed_as(other, given)));
        }
        told.push((kebab, own));
    }
    Ok(())
}

/// Where the last of this flag has its output go; `None` where it asks for none.
fn place<'g>(kebab: &str, given: &'g [Given]) -> Option<&'g OsStr> {
    let value = given.iter().rfind(|given| given.kebab == kebab)?.value.as_os_str();
    match kebab {
        REPORT => values::boolean(value).is_ok_and(|on| on).then_some(OsStr::new(STANDARD_OUTPUT)),
        _ => Some(value).filter(|value| !value.is_empty()),
    }
}

fn collision(place: &OsStr, typed: &str, other: &str) -> Failure {
    let place = place.to_string_lossy();
    Failure::Usage(match &*place {
        STANDARD_OUTPUT => {
            format!("{typed} and {other} both write to standard output: expected a file for {typed}")
        }
        file => format!("{typed} and {other} both write to {file:?}: expected a file for each"),
    })
}
