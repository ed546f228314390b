//! Environment variables: the same settings as the flags.

use std::ffi::{OsStr, OsString};

use smtpmock::smtp::rules::nearest;

use super::Failure;
use super::flag::Flag;
use super::goflags::Given;

const PREFIX: &str = "SMTPMOCK_";

/// The variables of the flags that were not typed or that accumulate.
///
/// # Errors
/// The name of a variable is similar to that of a flag's variable: it is probably misspelled and would be ignored.
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
        flag.variables().find_map(|typed| {
            let (_, value) = environment.iter().find(|(name, _)| *name == *typed)?;
            let given = Given { kebab: flag.kebab.clone(), value: value.clone(), typed };
            is_meant(flag, value).then_some(given)
        })
    };
    Ok(table.iter().filter(|flag| flag.adds_up || !is_typed(flag)).filter_map(from_variable).collect())
}

/// Whether a variable counts as set. An empty one does not, as in compose files and CI systems, except for checks.
/// Nor does a port like `tcp://10.0.0.1:2525`, which Kubernetes sets for every pod if there is a service `smtpmock`.
fn is_meant(flag: &Flag, value: &OsStr) -> bool {
    (!value.is_empty() || flag.refuses_empty) && !(flag.name == "port" && is_service_link(value))
}

fn is_service_link(value: &OsStr) -> bool {
    value.as_encoded_bytes().starts_with(b"tcp://")
}

/// Kubernetes, images and scripts set other variables with the same prefix. Only a name similar to a flag's variable
/// is an error.
fn refuse_slips(environment: &[(OsString, OsString)], table: &[Flag]) -> Result<(), Failure> {
    let meant: Vec<&str> =
        table.iter().filter_map(|flag| flag.variable.as_deref()?.strip_prefix(PREFIX)).collect();
    let is_known = |variable: &str| table.iter().flat_map(Flag::variables).any(|known| known == variable);
    for (name, value) in environment {
        let name = name.to_string_lossy();
        let Some(own) = name.strip_prefix(PREFIX) else { continue };
        if is_known(&name) || value.is_empty() || is_service_link(value) {
            continue;
        }
        if let Some(nearest) = nearest(own, meant.iter().copied()) {
            return Err(Failure::Usage(format!("unknown variable {name}: did you mean {PREFIX}{nearest}?")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables of other programs are ignored.
    #[test]
    fn what_is_close_to_a_real_variable_is_a_slip_and_all_else_is_not_ours() {
        let table = super::super::flags::table();
        for (name, meant) in [
            ("PRT", Some("PORT")),
            ("PROT", Some("PORT")),
            ("FAIL_ON", Some("FAIL_IF")),
            ("EXIT_AFTR", Some("EXIT_AFTER")),
            ("REPORTS_JSON", Some("REPORT_JSON")),
            ("port", Some("PORT")),
            ("SESSION_TIMEOUTS", Some("SESSION_TIMEOUT")),
            ("SERVICE_HOST", None),
            ("SERVICE_PORT", None),
            ("SERVICE_PORT_SMTP", None),
            ("PORT_2525_TCP", None),
            ("PORT_2525_TCP_ADDR", None),
            ("PORT_2525_TCP_PORT", None),
            ("PORT_2525_TCP_PROTO", None),
            ("VERSION", None),
            ("IMAGE", None),
            ("IMAGE_TAG", None),
            ("CONTAINER_NAME", None),
            ("HOME", None),
            ("USER", None),
            ("URL", None),
            ("DATA_DIR", None),
            ("SMTP_PORT", None),
            ("HOSTNAME", None),
            ("REPLICAS", None),
        ] {
            let environment = [(format!("{PREFIX}{name}").into(), "x".into())];
            let expected = meant.map_or(Ok(()), |meant| {
                let text = format!("unknown variable {PREFIX}{name}: did you mean {PREFIX}{meant}?");
                Err(Failure::Usage(text))
            });
            assert_eq!(refuse_slips(&environment, &table), expected, "{name}");
        }
    }

    /// No variable of a flag resembles another's closely enough to be an error.
    #[test]
    fn no_flag_s_variable_is_refused() {
        let table = super::super::flags::table();
        let all = table.iter().filter_map(|flag| flag.variable.clone());
        let environment: Vec<_> = all.map(|name| (name.into(), "x".into())).collect();
        assert_eq!(refuse_slips(&environment, &table), Ok(()));
    }
}
