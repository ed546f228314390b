//! What is right for each recorded dialogue: itself, its mended form, or itself with a named exception.

use std::collections::BTreeMap;

use super::transcript::{self, Case};

/// Recorded dialogues.
const RECORDED: usize = 531;

/// Sessions that sent nothing: readiness probes are no mail, so no record is kept of them. go-smtp-mock
/// keeps an empty one.
const SENT_NOTHING: &[&str] =
    &["abort-after-connect-immediately", "half-close-after-connect", "timeout-negative"];

/// Why a case is expected to be as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    Exact,
    Mended,
    Excepted,
}

/// Every recorded case as it is expected now.
pub(crate) fn all() -> Vec<(Basis, Case)> {
    let mut mended: BTreeMap<String, Case> =
        transcript::mended().into_iter().map(|case| (case.name.clone(), case)).collect();
    let cases: Vec<_> = transcript::recorded().into_iter().map(|case| expected(case, &mut mended)).collect();
    assert_eq!(cases.len(), RECORDED);
    assert!(mended.is_empty(), "mended dialogues that mend nothing: {:?}", mended.keys());
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

/// Says how many cases are expected why, and fails unless `results` holds a success for each.
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
