//! What one session shows of its care for secrecy: what it sends in clear, though STARTTLS was offered, and whether it goes on
//! with a certificate that is wrong.

use crate::smtp::{AuthOutcome, Next, Offered, Stage, Step};
use crate::stats::TlsStats;

/// STARTTLS is offered, and TLS has not begun.
const OFFERED: u8 = 1;
/// Mail has been sent, which counts once.
const MAIL: u8 = 2;
/// The same for a secret.
const SECRET: u8 = 4;
/// The certificate of the handshake was wrong, and the client has not gone on.
const WRONG: u8 = 8;

/// The handshake is done, and the client has sent nothing within TLS but QUIT.
const UNUSED: u8 = 16;

/// What the session has shown so far, in bits: each session has one.
#[derive(Debug, Default)]
pub(super) struct Secrecy(u8);

impl Secrecy {
    /// The handshake is done, maybe with a certificate that no client may accept.
    pub(super) fn note_encryption(&mut self, has_wrong_certificate: bool) {
        self.0 |= UNUSED | if has_wrong_certificate { WRONG } else { 0 };
    }

    /// No command but QUIT has come since.
    pub(super) fn is_tls_unused(&self) -> bool {
        self.0 & UNUSED != 0
    }

    /// Measures what a step shows.
    pub(super) fn note_step(&mut self, stats: &mut TlsStats, step: &Step) {
        if !matches!(step.stage, Stage::Greeting | Stage::Quit) {
            self.0 &= !UNUSED;
        }
        if self.0 & WRONG != 0 && goes_on(step) {
            self.0 &= !WRONG;
            stats.wrong_certificates_accepted += 1;
        }
        match step.stage {
            Stage::Helo if step.usage.offers.is_some_and(Offered::starttls) => self.0 |= OFFERED,
            Stage::Helo => self.0 &= !OFFERED,
            _ if self.0 & OFFERED == 0 => {}
            Stage::Starttls if step.next == Next::StartTls => self.0 &= !OFFERED,
            Stage::Mail if step.accepted => stats.mail_in_clear += self.first(MAIL),
            Stage::Auth if step.auth.as_deref().is_some_and(|auth| auth.reveals_secret) => {
                stats.secrets_in_clear += self.first(SECRET);
            }
            _ => {}
        }
    }

    /// 1 for the first time in the session, then 0.
    fn first(&mut self, fact: u8) -> u64 {
        let is_first = self.0 & fact == 0;
        self.0 |= fact;
        u64::from(is_first)
    }
}

/// The client has sent mail, or credentials, right or wrong.
fn goes_on(step: &Step) -> bool {
    let is_answer = |outcome| matches!(outcome, AuthOutcome::Succeeded | AuthOutcome::Failed);
    (step.stage == Stage::Mail && step.accepted)
        || step.auth.as_deref().is_some_and(|auth| auth.reveals_secret || is_answer(auth.outcome))
}
