//! Switches that other flags turn on: `--auth` turns on `--esmtp`.

use super::Failure;
use super::file::effective;
use super::flag::{Arity, Flag};
use super::goflags::Given;
use super::values;

/// Refuses a switch that is off together with a flag that turns it on: one of the two would have no effect.
///
/// # Errors
/// Both flags, if contradictory.
pub(super) fn refuse_contradictions(given: &[Given], table: &[Flag]) -> Result<(), Failure> {
    for flag in table.iter().filter(|flag| is_in_effect(flag, given)) {
        for switch in switches_of(flag, table) {
            let last = given.iter().rfind(|given| given.kebab == switch.kebab);
            if let Some(off) = last.filter(|last| values::boolean(&last.value) == Ok(false)) {
                let (off, by) = (&off.typed, super::typed_as(&flag.kebab, given));
                return Err(Failure::Usage(format!(
                    "{off} is off, but {by} turns it on: expected only one of them"
                )));
            }
        }
    }
    Ok(())
}

/// Whether a flag that is in effect turns on this one.
pub(super) fn is_turned_on(switch: &Flag, given: &[Given], table: &[Flag]) -> bool {
    let in_effect = table.iter().filter(|flag| is_in_effect(flag, given));
    in_effect.flat_map(|flag| switches_of(flag, table)).any(|one| one.kebab == switch.kebab)
}

/// The switches that a flag turns on, directly or through another one.
fn switches_of<'t>(flag: &'t Flag, table: &'t [Flag]) -> impl Iterator<Item = &'t Flag> {
    let next = |flag: &&Flag| table.iter().find(|one| Some(&*one.kebab) == flag.turns_on);
    std::iter::successors(next(&flag), next)
}

fn is_in_effect(flag: &Flag, given: &[Given]) -> bool {
    let is_given = given.iter().any(|given| given.kebab == flag.kebab);
    let values = || effective(flag, given);
    match flag.arity {
        _ if !is_given || flag.turns_on.is_none() => false,
        Arity::Switch => values().iter().all(|value| values::boolean(value) == Ok(true)),
        Arity::Value | Arity::List | Arity::Repeated => !values().is_empty(),
    }
}
