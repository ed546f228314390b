//! Findings about TLS: mail and secrets in clear, and how encrypted sessions begin and end.

use super::extensions::in_sessions;
use super::{Finding, words};
use crate::stats::Stats;

/// Fewer handshakes may come from different clients, or from one that restarted.
const FEW: u64 = 20;

pub(super) fn secrets_in_clear(stats: &Stats) -> Option<Finding> {
    let what = "sent a password or a token in clear, though STARTTLS was offered,";
    in_sessions(stats.tls.secrets_in_clear, "secret-in-clear", what, "RFC 4954 section 9")
}

pub(super) fn mail_in_clear(stats: &Stats) -> Option<Finding> {
    let what = "sent mail in clear, though STARTTLS was offered,";
    in_sessions(stats.tls.mail_in_clear, "mail-in-clear", what, "RFC 9325 section 3.2")
}

pub(super) fn injected(stats: &Stats) -> Option<Finding> {
    let what = "sent more behind STARTTLS before its reply, which was discarded,";
    in_sessions(stats.tls.injected, "commands-behind-starttls", what, "RFC 3207 section 4")
}

pub(super) fn truncated(stats: &Stats) -> Option<Finding> {
    let what = "closed without QUIT and without close_notify";
    in_sessions(stats.tls.truncated, "no-close-notify", what, "RFC 8446 section 6.1")
}

pub(super) fn declined_1_3(stats: &Stats) -> Option<Finding> {
    let what = "agreed on TLS 1.2, though 1.3 was possible,";
    in_sessions(stats.tls.declined_1_3, "old-tls", what, "RFC 9325 section 3.1.1")
}

pub(super) fn fell_back(stats: &Stats) -> Option<Finding> {
    // Nothing more is known about a client whose TLS has failed.
    let what = "seem to have fallen back to clear text: mail came on a new connection within a minute after TLS had failed, from \
         the same address and with the same name in EHLO,";
    in_sessions(stats.tls.fell_back, "fell-back-to-clear", what, "RFC 3207 section 6")
}

pub(super) fn accepted_wrong_certificates(stats: &Stats) -> Option<Finding> {
    let what = "went on in spite of a certificate that is wrong, as a rule has it,";
    let sessions = stats.tls.wrong_certificates_accepted;
    let mut finding = in_sessions(sessions, "wrong-certificate-accepted", what, "RFC 3207 section 4.1")?;
    let kinds = stats.tls.accepted_certificates.iter().map(|(kind, count)| format!("{kind} ({count})"));
    let others = stats.tls.accepted_certificates.others();
    let kinds: Vec<_> = kinds.chain((others > 0).then(|| format!("others ({others})"))).collect();
    if !kinds.is_empty() {
        finding.text = format!("{}: {}", finding.text, kinds.join(", "));
    }
    Some(finding)
}

pub(super) fn never_resumed(stats: &Stats) -> Option<Finding> {
    // A handshake with a wrong certificate gives no ticket.
    let handshakes = stats.tls.handshakes.saturating_sub(stats.tls.wrong_certificates);
    if handshakes < FEW || stats.tls.resumed != 0 {
        return None;
    }
    let all = words::count(handshakes, "handshake");
    Some(Finding {
        name: "tls-never-resumed",
        text: format!(
            "resumed none of {all}: each cost a signature, and in TLS 1.2 a round trip more than needed"
        ),
        reference: "RFC 9325 section 3.4",
    })
}
