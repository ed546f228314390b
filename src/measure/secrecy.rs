//! A session's secrecy: what it sends in clear although STARTTLS was offered, and whether it accepts a wrong
//! certificate.

use crate::smtp::{AuthOutcome, Next, Offered, Stage, Step};
use crate::stats::TlsStats;

/// STARTTLS is offered, and TLS has not begun.
const OFFERED: u8 = 1;
/// Mail was sent in clear, which counts once.
const MAIL: u8 = 2;
/// A secret was sent in clear, which counts once.
const SECRET: u8 = 4;
/// A valid STARTTLS was refused: from then on this session has no working offer of TLS, even if the next EHLO lists it.
/// RFC 3207 section 4 lets the client decide whether to continue.
const DENIED: u8 = 32;
/// The handshake is done, and the client has sent nothing within TLS except QUIT.
const UNUSED: u8 = 16;

#[derive(Debug, Default)]
pub(super) struct Secrecy {
    /// Bits.
    shown: u8,
    /// The wrong certificate of the handshake, until the client continues.
    wrong_certificate: Option<Box<str>>,
}

impl Secrecy {
    /// The handshake is done, possibly with a wrong certificate.
    pub(super) fn note_encryption(&mut self, wrong_certificate: Option<Box<str>>) {
        self.shown |= UNUSED;
        self.wrong_certificate = wrong_certificate;
    }

    /// No command except QUIT has arrived since.
    pub(super) fn is_tls_unused(&self) -> bool {
        self.shown & UNUSED != 0
    }

    pub(super) fn note_step(&mut self, stats: &mut TlsStats, step: &Step) {
        if !matches!(step.stage, Stage::Greeting | Stage::Quit) {
            self.shown &= !UNUSED;
        }
        if let Some(certificate) = self.wrong_certificate.take_if(|_| sends_secrets_or_mail(step)) {
            stats.wrong_certificates_accepted += 1;
            stats.accepted_certificates.add(&certificate, 1);
        }
        match step.stage {
            Stage::Helo if step.usage.offers.is_some_and(Offered::starttls) && self.shown & DENIED == 0 => {
                self.shown |= OFFERED;
            }
            Stage::Helo => self.shown &= !OFFERED,
            _ if self.shown & OFFERED == 0 => {}
            Stage::Starttls if step.next == Next::StartTls => self.shown &= !OFFERED,
            Stage::Starttls if step.usage.starttls => self.shown = (self.shown & !OFFERED) | DENIED,
            Stage::Auth if step.auth.as_deref().is_some_and(|auth| auth.reveals_secret) => {
                stats.secrets_in_clear += u64::from(self.is_first(SECRET));
            }
            _ => {}
        }
    }

    /// The step is the first MAIL accepted in clear although working TLS was offered.
    pub(super) fn begins_mail_in_clear(&mut self, step: &Step) -> bool {
        step.stage == Stage::Mail && step.accepted && self.shown & OFFERED != 0 && self.is_first(MAIL)
    }

    fn is_first(&mut self, fact: u8) -> bool {
        let is_first = self.shown & fact == 0;
        self.shown |= fact;
        is_first
    }
}

/// The client has sent mail or credentials, valid or not.
fn sends_secrets_or_mail(step: &Step) -> bool {
    let is_answer = |outcome| matches!(outcome, AuthOutcome::Succeeded | AuthOutcome::Failed);
    (step.stage == Stage::Mail && step.accepted)
        || step.auth.as_deref().is_some_and(|auth| auth.reveals_secret || is_answer(auth.outcome))
}
