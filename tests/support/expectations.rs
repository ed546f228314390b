//! What is expected of each recorded dialogue: the recording, its corrected form, or the recording with a named
//! exception.

use std::collections::BTreeMap;

use super::transcript::{self, Case};

/// Number of recorded dialogues.
const RECORDED: usize = 531;

/// Sessions in which the client sent nothing. Readiness probes are not mail, so that they leave no record; in
/// go-smtp-mock they leave an empty one.
const SENT_NOTHING: &[&str] =
    &["abort-after-connect-immediately", "half-close-after-connect", "timeout-negative"];

/// Why a case is expected in its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    Exact,
    Mended,
    Excepted,
}

/// All recorded cases in the form that is expected.
pub(crate) fn all() -> Vec<(Basis, Case)> {
    let mut mended: BTreeMap<String, Case> =
        transcript::mended().into_iter().map(|case| (case.name.clone(), case)).collect();
    let cases: Vec<_> = transcript::recorded().into_iter().map(|case| expected(case, &mut mended)).collect();
    assert_eq!(cases.len(), RECORDED);
    assert!(mended.is_empty(), "mended dialogues of no recorded one: {:?}", mended.keys());
    cases
}

fn expected(mut case: Case, mended: &mut BTreeMap<String, Case>) -> (Basis, Case) {
    if case.defect.is_some() {
        let mended = mended.remove(&case.name).unwrap_or_else(|| panic!("{} is not mended", case.name));
        assert_eq!((&mended.defect, &mended.config), (&case.defect, &case.config), "{}", case.name);
        return (Basis::Mended, mended);
    }
    if !SENT_NOTHING.contains(&case.name.as_str()) {
        return (Basis::Exact, case);
    }
    assert!(case.steps.iter().all(|step| step.send.is_empty()), "{} sends something", case.name);
    case.messages.clear();
    (Basis::Excepted, case)
}

/// Prints how many cases are expected for which reason, and fails unless `results` contains a success for each case.
pub(crate) fn account(what: &str, results: &[(Basis, String, Result<(), String>)]) {
    let count = |basis| results.iter().filter(|(of, _, result)| *of == basis && result.is_ok()).count();
    let (exact, mended, excepted) = (count(Basis::Exact), count(Basis::Mended), count(Basis::Excepted));
    println!("transcripts, {what}: {exact} exact, {mended} mended, {excepted} excepted");
    let failures: Vec<String> = results
        .iter()
        .filter_map(|(_, name, result)| Some(format!("{name}: {}", result.as_ref().err()?)))
        .collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!((exact + mended + excepted, excepted), (RECORDED, SENT_NOTHING.len()));
}
