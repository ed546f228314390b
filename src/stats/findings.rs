//! Findings about the clients: senders' mistakes, with figures and the RFC section.
//!
//! Pure: computed from the figures of [`Stats`]. Readiness probes (sessions without input) do not count as senders. A
//! correctly sent mail gives no finding, however often it is repeated in a session.

mod auth;
mod content;
mod dialogue;
mod endings;
mod extensions;
mod pace;
mod patience;
#[cfg(test)]
mod tests;
mod tls;
mod words;

use super::Stats;

/// A conclusion about the clients.
///
/// | name | what they did |
/// |---|---|
/// | `gave-up-early` | closed while they waited for a reply, sooner than RFC 5321 asks for; one for each stage |
/// | `data-broken-off` | closed in the middle of message data |
/// | `went-on-after-421` | sent anything but QUIT after a 421 |
/// | `went-on-after-refusal` | sent anything but QUIT after a greeting that refused the session |
/// | `retried-at-once` | tried the same message again within a second of a 4yz reply |
/// | `bare-lf`, `long-lines` | sent a LF without CR, a line of more than 998 octets |
/// | `bare-cr-or-lf-in-chunks` | sent a CR or a LF alone by BDAT, without `BODY=BINARYMIME` |
/// | `data-and-bdat` | sent DATA and BDAT in one mail transaction |
/// | `many-recipients` | sent more than 100 recipients in a message |
/// | `talked-before-greeting` | did not wait for the greeting |
/// | `unknown-commands` | repeatedly sent unknown commands |
/// | `parameters-not-offered` | sent a parameter of MAIL or RCPT whose extension was not offered |
/// | `8bit-undeclared` | sent octets beyond US-ASCII without `BODY=8BITMIME`, which was offered |
/// | `larger-than-declared` | sent a message larger than its SIZE |
/// | `pipelining-not-offered` | pipelined where EHLO was not offered it |
/// | `group-not-ended` | continued to pipeline after a command that must end a group |
/// | `probed-addresses` | sent VRFY or EXPN again and again |
/// | `authenticated-again` | sent AUTH again after it had succeeded |
/// | `password-repeated` | tried a user and password again unchanged after 535 |
/// | `secret-in-clear`, `mail-in-clear` | sent a secret, or mail, before TLS though STARTTLS was offered |
/// | `wrong-certificate-accepted` | sent mail or credentials, though a rule at `tls` had shown a wrong certificate |
/// | `fell-back-to-clear` | seem to have sent mail in clear on a new connection, though STARTTLS was offered, after TLS had failed: the same address and name in EHLO |
/// | `commands-behind-starttls` | did not wait for the reply to STARTTLS |
/// | `no-close-notify` | ended encrypted sessions without QUIT and without close_notify |
/// | `old-tls` | agreed on TLS 1.2 though 1.3 was possible |
/// | `tls-never-resumed` | resumed none of many sessions |
/// | `left-without-quit`, `left-to-time-out` | ended many sessions without QUIT, or never |
/// | `connections-not-reused` | opened a connection for each of many messages |
/// | `nagle-delay` | waited about 40 ms in most messages that came in pieces |
/// | `never-pipelined` | waited for each reply, though PIPELINING was offered |
/// | `needless-noop`, `needless-rset` | sent far more of them than mail transactions |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// A short, stable name.
    pub name: &'static str,
    /// What the clients did, with its figures: `gave up on the reply to the message after 30.0 s in 12 sessions;
    /// RFC 5321 section 4.5.3.2.6 asks for 10 minutes`.
    pub text: String,
    /// The reference for the right behaviour: `RFC 5321 section 4.5.3.2.6`.
    pub reference: &'static str,
}

type Check = fn(&Stats) -> Option<Finding>;

/// Ordered by effect: lost mail, refused mail, wasted time and connections.
const CHECKS: &[Check] = &[
    endings::broken_off,
    endings::went_on_after_421,
    endings::went_on_after_refusal,
    pace::retried_at_once,
    content::bare_lf,
    content::long_lines,
    content::bare_cr_or_lf_in_chunks,
    dialogue::data_and_bdat,
    extensions::parameters_not_offered,
    extensions::undeclared_eight_bit,
    extensions::larger_than_declared,
    extensions::pipelining_not_offered,
    extensions::group_not_ended,
    content::many_recipients,
    dialogue::early_talkers,
    dialogue::unknown_commands,
    extensions::probed_addresses,
    auth::again,
    auth::repeated,
    tls::secrets_in_clear,
    tls::mail_in_clear,
    tls::accepted_wrong_certificates,
    tls::fell_back,
    tls::injected,
    tls::truncated,
    endings::left_without_quit,
    endings::left_to_time_out,
    pace::connections_not_reused,
    tls::declined_1_3,
    tls::never_resumed,
    pace::nagle_delay,
    pace::never_pipelined,
    dialogue::needless_noop,
    dialogue::needless_rset,
];

impl Stats {
    /// The findings about the clients, the most costly first.
    pub fn findings(&self) -> Vec<Finding> {
        let others = CHECKS.iter().filter_map(|check| check(self));
        patience::gave_up_early(self).chain(others).collect()
    }
}
