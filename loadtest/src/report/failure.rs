//! What failed most often in a run, for the reason of a failure.

use std::collections::BTreeMap;

use crate::account::accounting::Abort;
use crate::account::alert::Alert;
use crate::client::phase::Phase;
use crate::report::{IMPLICIT, Protocol, Report, STRONGEST, TlsShape};

/// The most frequent refusal, or loss of a connection behind the greeting or by an alert of TLS, and what may help:
/// `auth: reply 535 5.7.8 wrong (60 times)`. `None` if there is none.
pub(crate) fn most_frequent(report: &Report) -> Option<String> {
    let accounts = [&report.accounting.measured, &report.accounting.warmup];
    let mut refused: BTreeMap<(Phase, u16), u64> = BTreeMap::new();
    for (kind, count) in accounts.iter().flat_map(|account| &account.refused) {
        *refused.entry(*kind).or_default() += count;
    }
    // Failures before the greeting are those of an address; an alert of TLS has a remedy.
    let lost = accounts.iter().flat_map(|account| &account.aborted);
    let lost = lost
        .filter(|((phase, reason), _)| {
            !matches!(phase, Phase::Connect | Phase::Banner) || matches!(reason, Abort::Alert(_))
        })
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

/// What may help where no session has had a greeting, and the server was waited for: it may encrypt from the start, and
/// then waits for the client. Empty if that is known not to help.
pub(crate) fn unmet(report: &Report) -> &'static str {
    let shape = &report.settings.shape;
    let may_help = shape.tls.as_ref().is_none_or(|tls| tls.mode != IMPLICIT);
    let has_waited = report.latency.banner.censored > 0 && report.latency.banner.ok.count() == 0;
    if may_help && has_waited {
        "; a server that encrypts from the start greets only then: its target is smtps://HOST"
    } else {
        ""
    }
}

/// What may help where no message is sent for this reason.
fn remedy(report: &Report, reason: Abort) -> &'static str {
    let Some(tls) = &report.settings.shape.tls else { return "" };
    match reason {
        Abort::CertificateIssuer => {
            "; --ca FILE accepts the authority that issued it, --insecure any certificate"
        }
        Abort::CertificateName => {
            "; --tls-name sets the name that the certificate must have, --insecure accepts any certificate"
        }
        reason if reason.is_of_certificate() => "; --insecure accepts any certificate",
        Abort::TlsInvalid if tls.mode == IMPLICIT => {
            "; a server that greets in the clear is HOST with --starttls required, not smtps://HOST"
        }
        Abort::NoStarttls => "; --starttls opportunistic goes on in the clear",
        Abort::TlsIncompatible => of_version(tls),
        Abort::Alert(alert) => of_alert(tls, alert),
        _ => "",
    }
}

/// What may help where no version of TLS is common.
fn of_version(tls: &TlsShape) -> &'static str {
    match tls.version {
        Some(_) => "; without --tls-version, the newest that the server speaks is used",
        None => "",
    }
}

/// What may help against an alert of the server (RFC 8446 section 6.2).
fn of_alert(tls: &TlsShape, alert: Alert) -> &'static str {
    match alert.name() {
        Some("protocol_version") => of_version(tls),
        Some("certificate_required") if !tls.client_certificate => {
            "; the server requires a certificate of the client: --cert FILE --key FILE"
        }
        // TLS 1.2 has no alert of its own for that (RFC 5246 section 7.4.6).
        Some("handshake_failure") if !tls.client_certificate => {
            "; a server that requires a certificate of the client may answer so: --cert FILE --key FILE"
        }
        Some("unrecognized_name") => "; --tls-name sets the name that the server is asked for",
        _ if tls.client_certificate && alert.is_of_certificate() => {
            "; the server does not accept the certificate of --cert"
        }
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
