//! One session's use of the extensions that it was offered.

use crate::smtp::auth::Mechanism;
use crate::smtp::{AuthOutcome, AuthStep, Offered, Stage, Step};
use crate::stats::ExtensionStats;

/// Fewer VRFY and EXPN may come from a person who tries a server.
const INQUIRIES: u8 = 3;

/// The session's use so far.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// Whether the last EHLO was offered PIPELINING; `None` if unknown.
    is_offered_pipelining: Option<bool>,
    /// The last command must end its group.
    ends_group: bool,
    inquiries: u8,
    /// A bit for each [`Fact`] that was counted.
    counted: u8,
}

/// A fact that is counted once in a session.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Fact {
    Pipelining,
    Chunking,
    SmtpUtf8,
    Dsn,
    ParameterNotOffered,
    PipeliningNotOffered,
    GroupNotEnded,
    Inquiries,
}

impl Extensions {
    /// A command, or the content of a message, has arrived; `is_pipelined` if the previous one was not answered yet.
    pub(super) fn note_command(&mut self, stats: &mut ExtensionStats, stage: Stage, is_pipelined: bool) {
        if is_pipelined {
            self.note_pipelined(stats);
        }
        self.ends_group = ends_group(stage);
    }

    /// An AUTH command has arrived, and this answers it.
    pub(super) fn note_auth(&mut self, auth: &AuthStep) {
        self.ends_group = auth_ends_group(auth);
    }

    #[cold]
    fn note_pipelined(&mut self, stats: &mut ExtensionStats) {
        self.count(stats, Fact::Pipelining);
        match self.is_offered_pipelining {
            Some(false) => self.count(stats, Fact::PipeliningNotOffered),
            Some(true) if self.ends_group => self.count(stats, Fact::GroupNotEnded),
            _ => {}
        }
    }

    pub(super) fn note_step(&mut self, stats: &mut ExtensionStats, step: &Step) {
        let is_last_chunk = || step.message.is_some_and(|message| message.is_chunked);
        match step.stage {
            Stage::Helo => self.is_offered_pipelining = step.usage.offers.map(Offered::pipelining),
            Stage::Mail | Stage::Rcpt => {
                let usage = step.usage;
                let facts = [
                    (usage.smtputf8, Fact::SmtpUtf8),
                    (usage.dsn, Fact::Dsn),
                    (usage.not_offered, Fact::ParameterNotOffered),
                ];
                facts.iter().filter(|(is_shown, _)| *is_shown).for_each(|(_, fact)| self.count(stats, *fact));
            }
            Stage::Bdat if step.accepted => self.count(stats, Fact::Chunking),
            Stage::Message if step.accepted && is_last_chunk() => self.count(stats, Fact::Chunking),
            Stage::Vrfy => {
                self.inquiries = self.inquiries.saturating_add(1);
                if self.inquiries >= INQUIRIES {
                    self.count(stats, Fact::Inquiries);
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, stats: &mut ExtensionStats, fact: Fact) {
        let bit = 1 << fact as u8;
        if self.counted & bit != 0 {
            return;
        }
        self.counted |= bit;
        *match fact {
            Fact::Pipelining => &mut stats.pipelining,
            Fact::Chunking => &mut stats.chunking,
            Fact::SmtpUtf8 => &mut stats.smtputf8,
            Fact::Dsn => &mut stats.dsn,
            Fact::ParameterNotOffered => &mut stats.parameters_not_offered,
            Fact::PipeliningNotOffered => &mut stats.pipelining_not_offered,
            Fact::GroupNotEnded => &mut stats.group_not_ended,
            Fact::Inquiries => &mut stats.inquiries,
        } += 1;
    }
}

/// The command changes what the next one means, or is not known to do without (RFC 2920 section 3.1): it must end its
/// group. BDAT need not (RFC 3030 section 4.2), nor the content of a message.
fn ends_group(stage: Stage) -> bool {
    matches!(
        stage,
        Stage::Helo | Stage::Data | Stage::Vrfy | Stage::Noop | Stage::Quit | Stage::Auth | Stage::Xclient
    )
}

/// AUTH need not be the last of its group if it has an initial response, and its mechanism is known to take no other
/// (RFC 4954 section 4). If it begins no exchange the mechanism is unknown.
fn auth_ends_group(auth: &AuthStep) -> bool {
    match auth.mechanism {
        Some(Mechanism::Plain | Mechanism::External | Mechanism::Anonymous) => {
            auth.outcome == AuthOutcome::Challenged
        }
        Some(_) => true,
        None => false,
    }
}
