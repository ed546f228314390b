//! What failed most often in a run, for the reason of a failure.

use std::collections::BTreeMap;

use crate::account::accounting::Abort;
use crate::client::phase::Phase;
use crate::report::{Protocol, Report, STRONGEST};

/// The most frequent refusal, or loss of a connection behind the greeting, and what may help: `auth: reply 535 5.7.8
/// wrong (60 times)`. `None` if there is none.
pub(crate) fn most_frequent(report: &Report) -> Option<String> {
    let accounts = [&report.accounting.measured, &report.accounting.warmup];
    let mut refused: BTreeMap<(Phase, u16), u64> = BTreeMap::new();
    for (kind, count) in accounts.iter().flat_map(|account| &account.refused) {
        *refused.entry(*kind).or_default() += count;
    }
    // Failures before the greeting are those of an address.
    let lost = accounts.iter().flat_map(|account| &account.aborted);
    let lost = lost
        .filter(|((phase, _), _)| !matches!(phase, Phase::Connect | Phase::Banner))
        .max_by_key(|(_, count)| **count)
        .map(|((phase, reason), count)| (format!("{phase}: {reason}"), *count, remedy(report, *reason)));
    let most = refused.into_iter().max_by_key(|(_, count)| *count);
    match (most, lost) {
        (Some((kind, count)), lost) if lost.as_ref().is_none_or(|(_, lost, _)| *lost <= count) => {
            Some(format!("{} ({}){}", reply(report, kind), times(count), hint(report, kind)))
        }
        (_, lost) => lost.map(|(what, count, remedy)| format!("{what} ({}){remedy}", times(count))),
    }
}

/// What may help where no message is sent for this reason.
fn remedy(report: &Report, reason: Abort) -> &'static str {
    let is_implicit = report.settings.shape.tls.as_ref().is_some_and(|tls| tls.mode == "implicit");
    match reason {
        Abort::CertificateIssuer => {
            "; --ca FILE accepts the authority that issued it, --insecure any certificate"
        }
        Abort::CertificateName => {
            "; --tls-name sets the name that the certificate must have, --insecure accepts any certificate"
        }
        reason if reason.is_of_certificate() => "; --insecure accepts any certificate",
        Abort::TlsInvalid if is_implicit => {
            "; a server that greets in the clear is HOST with --starttls required, not smtps://HOST"
        }
        Abort::NoStarttls => "; --starttls opportunistic goes on in the clear",
        _ => "",
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn reply(report: &Report, (phase, code): (Phase, u16)) -> String {
    let text = report.refusal_texts.iter().find(|one| (one.phase, one.code) == (phase, code));
    let text = text.map_or_else(String::new, |one| format!(" {}", one.text));
    format!("{phase}: reply {code}{text}")
}

/// What may help against a refusal, if something is known to.
fn hint(report: &Report, (phase, code): (Phase, u16)) -> String {
    let shape = &report.settings.shape;
    match phase {
        // Of the syntax (RFC 5321 section 4.2.1): the command is not known, or not implemented.
        Phase::Ehlo if code / 10 == 50 => match shape.protocol {
            Protocol::Lmtp => "; if the server speaks SMTP, leave out --lmtp".to_owned(),
            Protocol::Smtp => "; if the server speaks LMTP, add --lmtp".to_owned(),
        },
        Phase::Auth if shape.auth.as_deref() == Some(STRONGEST) => {
            let chosen: Vec<&str> = report.sessions.auth_refused.keys().map(String::as_str).collect();
            if chosen.is_empty() {
                return String::new();
            }
            let other =
                if chosen == ["PLAIN"] { "" } else { ": `@PLAIN` behind the password chooses another" };
            format!("; {} was chosen as the strongest mechanism offered{other}", chosen.join(" and "))
        }
        _ => String::new(),
    }
}
