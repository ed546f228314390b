//! Checks the arguments of MAIL and RCPT: a path followed by parameters (RFC 5321 section 4.1.2).

use crate::smtp::command::{AddressRules, ArgumentError, Declared, Parameters, Path, Verb};
use crate::smtp::policy::Policy;
use crate::smtp::reply::ReplyKind;
use crate::smtp::session::answer::Verdict;
use crate::smtp::session::dialogue::Dialogue;
use crate::smtp::session::sequence::Sequence;
use crate::smtp::session::step::Usage;

impl Dialogue {
    /// Checks the argument of MAIL or RCPT. Under Extended SMTP faults of parameters have specific replies; otherwise
    /// all faults have the same one.
    #[inline]
    pub(super) fn check_path(
        &self,
        policy: &Policy,
        verb: Verb,
        path: Result<Path<'_>, ArgumentError>,
        parameters: Parameters<'_>,
        declared: &Declared,
    ) -> Result<(), ReplyKind> {
        match (self.is_extended(policy), path) {
            (_, Ok(path)) if parameters.words().is_empty() && !needs_utf8(policy, path) => Ok(()),
            (false, Ok(_)) => Ok(()),
            (false, Err(_)) => Err(invalid_argument(verb)),
            (true, path) => self.check_extended_path(policy, verb, path, parameters, declared),
        }
    }

    /// The extensions used by the parameters of MAIL and RCPT.
    pub(super) fn usage_of(
        &self,
        policy: &Policy,
        declared: &Declared,
        verdict: Verdict,
        is_accepted: bool,
    ) -> Usage {
        match self.is_extended(policy) {
            false => Usage::default(),
            true => Usage {
                not_offered: verdict == Err(ReplyKind::ParameterNotOffered),
                smtputf8: is_accepted && declared.smtputf8,
                dsn: is_accepted && declared.dsn,
                ..Usage::default()
            },
        }
    }

    fn check_extended_path(
        &self,
        policy: &Policy,
        verb: Verb,
        path: Result<Path<'_>, ArgumentError>,
        parameters: Parameters<'_>,
        declared: &Declared,
    ) -> Result<(), ReplyKind> {
        let path = match path {
            Err(ArgumentError::Utf8) if policy.addresses == AddressRules::Rfc5321 => {
                return Err(ReplyKind::Utf8NotAllowed);
            }
            Err(ArgumentError::Path | ArgumentError::Utf8) => return Err(invalid_argument(verb)),
            path => path.ok(),
        };
        let path = match (path, self.extensions.judge(parameters, verb)) {
            (_, Err(ArgumentError::NotOffered)) => return Err(ReplyKind::ParameterNotOffered),
            (Some(path), Ok(())) => path,
            _ => return Err(ReplyKind::InvalidParameter),
        };
        let takes_utf8 = match (verb, self.sequence) {
            (Verb::Rcpt, Sequence::Mail(mail) | Sequence::Past(mail)) => mail.takes_utf8,
            _ => declared.smtputf8,
        };
        if needs_utf8(policy, path) && !takes_utf8 {
            return Err(ReplyKind::Utf8NotAllowed);
        }
        let limit = u64::try_from(policy.message_size_limit()).unwrap_or(u64::MAX);
        if declared.size.is_some_and(|size| size > limit) {
            return Err(ReplyKind::MessageTooBig);
        }
        Ok(())
    }
}

/// The path requires SMTPUTF8 (RFC 6531 section 3.5); only strict address rules enforce it.
#[inline]
fn needs_utf8(policy: &Policy, path: Path<'_>) -> bool {
    policy.addresses == AddressRules::Rfc5321 && !path.mailbox().is_ascii()
}

fn invalid_argument(verb: Verb) -> ReplyKind {
    if verb == Verb::Mail { ReplyKind::InvalidMailArgument } else { ReplyKind::InvalidRcptArgument }
}
