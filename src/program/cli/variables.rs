//! Environment variables: the same settings as the flags.

use std::ffi::{OsStr, OsString};

use super::Failure;
use super::flag::Flag;
use super::goflags::Given;

/// What all of them begin with.
const PREFIX: &str = "SMTPMOCK_";

/// The variables of all flags that were not typed, or that add up.
///
/// # Errors
/// A variable is spelled almost like one of a flag: a setting, or a check, that nobody would read.
pub(super) fn read(
    given: &[Given],
    table: &[Flag],
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Given>, Failure> {
    let is_ours = |(name, _): &(OsString, OsString)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    let environment: Vec<_> = environment.into_iter().filter(is_ours).collect();
    refuse_slips(&environment, table)?;
    let is_typed = |flag: &Flag| given.iter().any(|given| given.kebab == flag.kebab);
    let from_variable = |flag: &Flag| {
        let variable = flag.variable.clone()?;
        let (_, value) = environment.iter().find(|(name, _)| *name == *variable)?;
        let given = Given { kebab: flag.kebab.clone(), value: value.clone(), typed: variable };
        is_meant(flag, value).then_some(given)
    };
    Ok(table.iter().filter(|flag| flag.adds_up || !is_typed(flag)).filter_map(from_variable).collect())
}

/// An empty variable counts as none, but for a check: that is how compose files and CI systems spell it. So does a
/// port like `tcp://10.0.0.1:2525`, which Kubernetes sets for every pod beside a service `smtpmock`.
fn is_meant(flag: &Flag, value: &OsStr) -> bool {
    (!value.is_empty() || flag.refuses_empty) && !(flag.name == "port" && is_service_link(value))
}

fn is_service_link(value: &OsStr) -> bool {
    value.as_encoded_bytes().starts_with(b"tcp://")
}

/// Kubernetes, images and scripts have variables of their own that begin so: only what is close to a real one is a
/// slip.
fn refuse_slips(environment: &[(OsString, OsString)], table: &[Flag]) -> Result<(), Failure> {
    let known: Vec<&str> = table.iter().filter_map(|flag| flag.variable.as_deref()).collect();
    for (name, value) in environment {
        let name = name.to_string_lossy();
        if known.contains(&&*name) || value.is_empty() || is_service_link(value) {
            continue;
        }
        let alike = known.iter().filter(|known| known.len().abs_diff(name.len()) <= tolerated(known));
        let nearest = alike.map(|known| (slips(&name, known), known)).min();
        if let Some((_, nearest)) = nearest.filter(|(count, nearest)| *count <= tolerated(nearest)) {
            return Err(Failure::Usage(format!("unknown variable {name}: did you mean {nearest}?")));
        }
    }
    Ok(())
}

/// So many slips make another name of a short one.
fn tolerated(variable: &str) -> usize {
    if variable.len() < PREFIX.len() + 8 { 1 } else { 2 }
}

/// Letters that were left out, put in, mistaken, or swapped with their neighbours (the optimal string alignment
/// distance).
fn slips(typed: &str, meant: &str) -> usize {
    let (typed, meant) = (typed.as_bytes(), meant.as_bytes());
    let mut before = vec![0; meant.len() + 1];
    let mut last: Vec<usize> = (0..=meant.len()).collect();
    for (at, octet) in typed.iter().enumerate() {
        let mut row = vec![at + 1];
        for (to, wanted) in meant.iter().enumerate() {
            let replaced = last[to] + usize::from(octet != wanted);
            let mut least = replaced.min(last[to + 1] + 1).min(row[to] + 1);
            if at > 0 && to > 0 && *octet == meant[to - 1] && typed[at - 1] == *wanted {
                least = least.min(before[to - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[meant.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (typed, meant, count) in [
            ("", "", 0),
            ("", "PORT", 4),
            ("PORT", "PORT", 0),
            ("PRT", "PORT", 1),
            ("PORTT", "PORT", 1),
            ("PORD", "PORT", 1),
            ("PROT", "PORT", 1),
            ("ROPT", "PORT", 2),
            ("SERVICE_HOST", "HOST", 8),
        ] {
            assert_eq!(slips(typed, meant), count, "{typed} for {meant}");
            assert_eq!(slips(meant, typed), count, "{meant} for {typed}");
        }
    }

    /// Otherwise a slip in one would be another.
    #[test]
    fn no_flag_s_variable_is_refused() {
        let table = super::super::flags::table();
        let all = table.iter().filter_map(|flag| flag.variable.clone());
        let environment: Vec<_> = all.map(|name| (name.into(), "x".into())).collect();
        assert_eq!(refuse_slips(&environment, &table), Ok(()));
    }
}
