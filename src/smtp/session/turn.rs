//! The context of one line in a dialogue.

use std::time::Duration;

use crate::smtp::auth::Check;
use crate::smtp::policy::{Keep, Policy};
use crate::smtp::record::{Answered, Decided, Event, Filing, Recorder};
use crate::smtp::reply::Reply;
use crate::smtp::rules::Environment;
use crate::smtp::session::answer::Answer;
use crate::smtp::session::step::CommandLine;

/// The policy, environment and recorder for one line.
pub(super) struct Turn<'t, 'e> {
    pub(super) policy: &'t Policy,
    pub(super) environment: &'t mut Environment<'e>,
    pub(super) records: &'t mut Records,
    /// The command line, once parsed.
    pub(super) line: Option<CommandLine>,
    /// The check that must run before the line can be answered.
    pub(super) check: Option<Box<Check>>,
}

/// The recorder, if records are read. A dialogue cannot read it.
#[derive(Debug, Default)]
pub(super) struct Records(pub(super) Option<Recorder>);

impl Records {
    /// Records an event with its answer; `reply` is the reply to be sent.
    #[inline]
    pub(super) fn note(
        &mut self,
        policy: &Policy,
        now: Duration,
        answer: &Answer<'_>,
        reply: &Reply,
        event: Option<Event<'_>>,
    ) -> Filing {
        match (policy.keep, event) {
            (Keep::Nothing, _) | (_, None) => Filing::Unchanged,
            (Keep::Envelope | Keep::Message, Some(event)) => {
                self.note_read(policy, now, answer, reply, event)
            }
        }
    }

    #[inline(never)]
    fn note_read(
        &mut self,
        policy: &Policy,
        now: Duration,
        answer: &Answer<'_>,
        reply: &Reply,
        event: Event<'_>,
    ) -> Filing {
        let reply = Some(reply).filter(|_| answer.is_whole());
        let decided = Decided::at(now);
        let answered = Answered { reply, number: answer.number, decided, accepted: answer.accepted };
        self.of(policy).note(policy, event, &answered)
    }

    /// Records the line of the first BDAT of a message, which is answered after its octets.
    pub(super) fn note_first_bdat(&mut self, policy: &Policy, line: &[u8]) {
        if policy.keep != Keep::Nothing {
            self.of(policy).note_first_bdat(line);
        }
    }

    fn of(&mut self, policy: &Policy) -> &mut Recorder {
        self.0.get_or_insert_with(|| Recorder::new(policy.records))
    }
}
