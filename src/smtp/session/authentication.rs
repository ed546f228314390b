//! AUTH (RFC 4954): its command, the responses of its exchange, and the result.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::Rng as _;

use crate::smtp::auth::{AuthExchange, Checked, Mechanism, Reaction, Refusal};
use crate::smtp::command::{
    Authenticate, Command, Grammar, InitialResponse, REDACTED, Request, resembles_auth, shown_part,
    starts_with_ignoring_case,
};
use crate::smtp::policy::Policy;
use crate::smtp::receive::{LineScan, LineScanner};
use crate::smtp::record::Event;
use crate::smtp::reply::{Next, Portion, Reply, ReplyKind, Stage};
use crate::smtp::rules::{Impairment, Moment};
use crate::smtp::session::answer::{Answer, Asked, Verdict};
use crate::smtp::session::dialogue::{Dialogue, Receiving, Skipped};
use crate::smtp::session::sequence::Sequence;
use crate::smtp::session::step::{AuthOutcome, AuthStep, CommandLine, Details, Progress, Step};
use crate::smtp::session::turn::Turn;

/// Random octets of a nonce.
const NONCE: usize = 18;

/// An exchange, with the scanner for its next response.
#[derive(Debug)]
pub(super) struct Responses {
    scanner: LineScanner,
    exchange: AuthExchange,
    /// The AUTH command without secrets.
    shown: Box<[u8]>,
    /// Challenges sent so far.
    challenges: u32,
}

impl Responses {
    pub(super) fn is_mid_line(&self) -> bool {
        self.scanner.is_mid_line()
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() - size_of::<AuthExchange>() + self.exchange.memory() + self.shown.len()
    }
}

/// The line is an AUTH command, which may be longer than others if AUTH is offered.
#[cold]
pub(super) fn is_long_auth(policy: &Policy, input: &[u8]) -> bool {
    policy.auth().is_some() && starts_with_ignoring_case(input.trim_ascii_start(), b"AUTH ")
}

/// Most responses that a client may send together with an AUTH command: those of LOGIN.
const MOST_RESPONSES: u32 = 2;

/// Lines that may contain secrets outside of an exchange.
impl Dialogue {
    /// An unknown command as it may be logged. After a refused AUTH command it may be a response that was sent without
    /// waiting.
    #[cold]
    pub(super) fn line_of_no_command(&self, line: &[u8], input: &[u8]) -> CommandLine {
        let since = self.steps.wrapping_sub(self.auth_refused_at);
        match self.auth_refused_at > 0 && since < MOST_RESPONSES {
            true => CommandLine::secret(),
            false => CommandLine::of_any(line, input),
        }
    }

    /// The part of a line over the limit that may be logged. Whether it resembles AUTH determines what may be logged of
    /// the next lines.
    #[cold]
    pub(super) fn front_of_line(&mut self, input: &[u8]) -> CommandLine {
        let front = input[..input.len().min(LineScanner::LIMIT)].trim_ascii();
        self.skipped = if resembles_auth(front) { Skipped::LikeAuth } else { Skipped::Other };
        self.line_of_no_command(front, input)
    }

    /// Notes an unknown command: it may be AUTH.
    #[cold]
    pub(super) fn note_no_command(&mut self, line: &[u8]) {
        if resembles_auth(line) {
            self.auth_refused_at = self.steps;
        }
    }
}

/// Input.
impl Dialogue {
    /// Handles AUTH. Without a step a check is pending.
    #[cold]
    #[inline(never)]
    pub(super) fn auth_line(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        argument: Option<Authenticate<'_>>,
        consumed: usize,
    ) -> Progress {
        let step = self.auth(turn, line, argument);
        Progress { consumed, line: turn.line, step, check: turn.check.take(), expects: self.expects() }
    }

    fn auth(
        &mut self,
        turn: &mut Turn<'_, '_>,
        line: &[u8],
        argument: Option<Authenticate<'_>>,
    ) -> Option<Step> {
        let (mechanism, initial) = match self.check_auth(turn.policy, argument) {
            Ok(arguments) => arguments,
            Err(refusal) => return Some(self.refuse_auth(turn, refusal, argument)),
        };
        let auth = turn.policy.auth()?;
        let shown = shown_part(line).map_or_else(|| line.to_vec(), |shown| [shown, REDACTED].concat());
        let nonce = || self.nonce(turn);
        let (exchange, reaction) = match (mechanism, &self.external) {
            (Mechanism::External, Some(identity)) => {
                AuthExchange::begin_external(Arc::clone(identity), initial.as_deref())
            }
            _ => AuthExchange::begin(mechanism, initial.as_deref(), auth, nonce),
        };
        let scanner = LineScanner::default();
        let responses = Responses { scanner, exchange, shown: shown.into(), challenges: 0 };
        self.react(turn, Box::new(responses), reaction)
    }

    /// The mechanism, and the decoded initial response.
    fn check_auth(
        &self,
        policy: &Policy,
        argument: Option<Authenticate<'_>>,
    ) -> Result<(Mechanism, Option<Vec<u8>>), ReplyKind> {
        if !self.is_encrypted && policy.requires_tls() {
            return Err(ReplyKind::TlsRequired);
        }
        let is_in_sequence = matches!(self.sequence, Sequence::Greeted) && self.identity.is_none();
        let is_offered = |one: &Mechanism| {
            policy.auth().is_some_and(|auth| auth.offers(*one))
                && (*one != Mechanism::External || self.external.is_some())
        };
        let named = argument.and_then(|argument| Mechanism::named(argument.mechanism.as_bytes()));
        let mechanism = named.filter(is_offered);
        // Also if AUTH is offered only to clients with a certificate, so that the client learns the reason.
        if is_in_sequence && named == Some(Mechanism::External) && mechanism.is_none() {
            return Err(ReplyKind::MechanismNotOffered);
        }
        // RFC 4954 section 4: also if AUTH is offered only within TLS, so that the client learns the reason.
        if is_in_sequence
            && !self.is_encrypted
            && policy.refuses_clear_auth()
            && mechanism.is_some_and(Mechanism::sends_the_secret)
        {
            return Err(ReplyKind::ClearAuthRefused);
        }
        if !is_in_sequence || !self.extensions.include("AUTH") {
            return Err(ReplyKind::InvalidAuthSequence);
        }
        let Some(Authenticate { initial, .. }) = argument else {
            return Err(ReplyKind::InvalidAuthArgument);
        };
        let mechanism = mechanism.ok_or(ReplyKind::MechanismNotOffered)?;
        let initial = match initial {
            None => None,
            Some(InitialResponse(b"=")) => Some(Vec::new()),
            Some(InitialResponse(text)) => Some(decode(text).ok_or(ReplyKind::InvalidAuthResponse)?),
        };
        Ok((mechanism, initial))
    }

    /// Random octets as visible characters. Derived from the policy's seed, the session and its step, so that runs are
    /// repeatable; a test needs no stronger ones.
    fn nonce(&self, turn: &Turn<'_, '_>) -> String {
        let moment = Moment { seed: turn.policy.seed, session: turn.environment.session, step: self.steps };
        let mut octets = [0; NONCE];
        moment.stream(Impairment::named("nonce", 0)).fill_bytes(&mut octets);
        BASE64.encode(octets)
    }

    /// Handles an AUTH command that is longer than other commands may be.
    #[cold]
    pub(super) fn long_auth(&mut self, turn: &mut Turn<'_, '_>, input: &[u8]) -> Progress {
        let mut scanner = LineScanner::default();
        let scan = scanner.scan_within(LineScanner::AUTH_LIMIT, input);
        self.receiving = Receiving::Commands(scanner);
        let (consumed, line, step) = match scan {
            LineScan::Incomplete(0) => (0, None, None),
            LineScan::Incomplete(consumed) => {
                let line = self.front_of_line(input);
                self.skipped = Skipped::Auth;
                (consumed, Some(line), None)
            }
            LineScan::TooLong(consumed) => {
                let line = self.front_of_line(input);
                self.skipped = Skipped::Other;
                let step = self.refuse_auth(turn, ReplyKind::AuthLineTooLong, None);
                (consumed, Some(line), Some(step))
            }
            LineScan::Line(consumed) => return self.whole_long_auth(turn, input, consumed),
        };
        Progress { consumed, line, step, check: None, expects: self.expects() }
    }

    fn whole_long_auth(&mut self, turn: &mut Turn<'_, '_>, input: &[u8], consumed: usize) -> Progress {
        let grammar = Grammar { addresses: turn.policy.addresses, offered: &self.extensions };
        let Request { line, command } = Request::parse(&input[..consumed], grammar);
        let Command::Auth(argument) = command else { unreachable!("the line begins with AUTH and a space") };
        turn.line = Some(CommandLine::of_any(line, input));
        self.auth_line(turn, line, argument, consumed)
    }

    /// Answers a line that was too long, possibly after part of it was dropped.
    #[cold]
    pub(super) fn too_long(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let skipped = std::mem::take(&mut self.skipped);
        if skipped == Skipped::Auth {
            return self.refuse_auth(turn, ReplyKind::AuthLineTooLong, None);
        }
        let step = self.unknown(turn, ReplyKind::LineTooLong);
        if skipped == Skipped::LikeAuth {
            self.auth_refused_at = self.steps;
        }
        step
    }

    /// Handles a response. While a check is pending no input is taken.
    #[cold]
    pub(super) fn response(&mut self, turn: &mut Turn<'_, '_>, input: &[u8]) -> Progress {
        let expects = self.expects();
        let nothing = Progress { consumed: 0, line: None, step: None, check: None, expects };
        let Receiving::Responses(responses) = &mut self.receiving else { return nothing };
        if responses.exchange.is_checking() {
            return nothing;
        }
        let (consumed, is_too_long) = match responses.scanner.scan_within(LineScanner::AUTH_LIMIT, input) {
            LineScan::Incomplete(consumed) => return Progress { consumed, ..nothing },
            LineScan::TooLong(consumed) => (consumed, true),
            LineScan::Line(consumed) => (consumed, false),
        };
        let Receiving::Responses(responses) = std::mem::take(&mut self.receiving) else { return nothing };
        let text = input[..consumed].trim_ascii();
        let (line, step) = if is_too_long {
            let verdict = Err(ReplyKind::AuthLineTooLong);
            (CommandLine::secret(), Some(self.end_exchange(turn, *responses, AuthOutcome::Refused, verdict)))
        } else if text == b"*" {
            let verdict = Err(ReplyKind::AuthCancelled);
            let step = self.end_exchange(turn, *responses, AuthOutcome::Cancelled, verdict);
            (CommandLine::of(text, input), Some(step))
        } else {
            (CommandLine::secret(), self.take_response(turn, responses, text))
        };
        Progress { consumed, line: Some(line), step, check: turn.check.take(), expects: self.expects() }
    }

    fn take_response(
        &mut self,
        turn: &mut Turn<'_, '_>,
        mut responses: Box<Responses>,
        text: &[u8],
    ) -> Option<Step> {
        let reaction = match (decode(text), turn.policy.auth()) {
            (None, _) => Reaction::Over(Err(Refusal::Malformed)),
            (Some(response), Some(auth)) => responses.exchange.respond(&response, auth, || self.nonce(turn)),
            // Authentication was turned off meanwhile.
            (Some(_), None) => Reaction::Over(Err(Refusal::Credentials)),
        };
        self.react(turn, responses, reaction)
    }

    /// Takes the result of the pending check.
    pub(super) fn resume(&mut self, turn: &mut Turn<'_, '_>, checked: Checked) -> Progress {
        let step = match std::mem::take(&mut self.receiving) {
            Receiving::Responses(responses) if responses.exchange.is_checking() => {
                self.react(turn, responses, Reaction::Over(AuthExchange::conclude(checked)))
            }
            receiving => {
                self.receiving = receiving;
                None
            }
        };
        Progress { consumed: 0, line: None, step, check: None, expects: self.expects() }
    }
}

/// Output.
impl Dialogue {
    fn react(
        &mut self,
        turn: &mut Turn<'_, '_>,
        mut responses: Box<Responses>,
        reaction: Reaction,
    ) -> Option<Step> {
        let (outcome, verdict) = match reaction {
            Reaction::Challenge(challenge) => {
                responses.challenges += 1;
                return Some(self.challenge(turn, responses, &challenge));
            }
            Reaction::Check(check) => {
                turn.check = Some(Box::new(check));
                self.receiving = Receiving::Responses(responses);
                return None;
            }
            Reaction::Over(Ok(())) => (AuthOutcome::Succeeded, Ok(ReplyKind::AuthSucceeded)),
            Reaction::Over(Err(Refusal::Credentials)) => (AuthOutcome::Failed, Err(ReplyKind::AuthFailed)),
            Reaction::Over(Err(Refusal::Malformed)) => {
                (AuthOutcome::Refused, Err(ReplyKind::InvalidAuthResponse))
            }
        };
        Some(self.end_exchange(turn, *responses, outcome, verdict))
    }

    /// Sends a challenge without delay: rules and delays apply to the reply that ends the exchange.
    fn challenge(&mut self, turn: &mut Turn<'_, '_>, responses: Box<Responses>, challenge: &[u8]) -> Step {
        self.steps = self.steps.wrapping_add(1);
        let reply = Reply::new(format!("334 {}", BASE64.encode(challenge)));
        let answer = Answer {
            reply: &reply,
            portion: Portion::Whole,
            accepted: true,
            delay: Duration::ZERO,
            next: Next::Continue,
            number: self.steps,
        };
        let auth = AuthStep {
            mechanism: Some(responses.exchange.mechanism()),
            outcome: AuthOutcome::Challenged,
            challenges: responses.challenges,
            reveals_secret: false,
            attempt: None,
        };
        self.receiving = Receiving::Responses(responses);
        self.conclude_with(
            turn,
            Stage::Auth,
            &answer,
            None,
            Details { auth: Some(Box::new(auth)), ..Details::default() },
        )
    }

    /// Refuses an AUTH command without an exchange.
    fn refuse_auth(
        &mut self,
        turn: &mut Turn<'_, '_>,
        refusal: ReplyKind,
        argument: Option<Authenticate<'_>>,
    ) -> Step {
        let is_again = refusal == ReplyKind::InvalidAuthSequence && self.identity.is_some();
        let outcome = if is_again { AuthOutcome::Again } else { AuthOutcome::Refused };
        let answer = self.answer(turn, Asked::at(Stage::Auth), Err(refusal));
        self.auth_refused_at = self.steps;
        let reveals_secret = argument.is_some_and(has_secret);
        let auth = AuthStep { mechanism: None, outcome, challenges: 0, reveals_secret, attempt: None };
        self.conclude_with(
            turn,
            Stage::Auth,
            &answer,
            None,
            Details { auth: Some(Box::new(auth)), ..Details::default() },
        )
    }

    /// Ends an exchange. Rules see the user, if the client has named one.
    fn end_exchange(
        &mut self,
        turn: &mut Turn<'_, '_>,
        responses: Responses,
        outcome: AuthOutcome,
        verdict: Verdict,
    ) -> Step {
        let Responses { exchange, shown, challenges, .. } = responses;
        let mechanism = exchange.mechanism();
        let asked = Asked { claimed: Some(&exchange), ..Asked::at(Stage::Auth) };
        let answer = self.answer(turn, asked, verdict);
        if !answer.accepted {
            self.auth_refused_at = self.steps;
        }
        let reveals_secret = mechanism.sends_the_secret()
            && match outcome {
                AuthOutcome::Succeeded | AuthOutcome::Failed => true,
                // The malformed response may be the user's name.
                AuthOutcome::Refused => mechanism != Mechanism::Login,
                AuthOutcome::Challenged | AuthOutcome::Cancelled | AuthOutcome::Again => false,
            };
        let attempt = exchange.attempt();
        let auth = AuthStep { mechanism: Some(mechanism), outcome, challenges, reveals_secret, attempt };
        let identity = answer.accepted.then(|| Arc::new(exchange.into_identity()));
        self.identity.clone_from(&identity);
        let event = identity.as_ref().map(|identity| Event::Auth { line: &shown, identity });
        self.conclude_with(
            turn,
            Stage::Auth,
            &answer,
            event,
            Details { auth: Some(Box::new(auth)), ..Details::default() },
        )
    }

    /// MAIL requires an authentication that has not happened (RFC 4954 section 6).
    #[inline]
    pub(super) fn lacks_authentication(&self, policy: &Policy) -> bool {
        self.identity.is_none() && policy.auth().is_some_and(|auth| auth.required)
    }
}

/// The initial response is the secret itself. For LOGIN it is the user.
fn has_secret(argument: Authenticate<'_>) -> bool {
    let mechanism = Mechanism::named(argument.mechanism.as_bytes());
    let is_secret = |one: Mechanism| one.sends_the_secret() && one != Mechanism::Login;
    mechanism.is_some_and(is_secret) && argument.initial.is_some_and(|initial| initial.0 != b"=")
}

/// Decodes strictly: padding is required, and other characters are invalid (RFC 4648 section 3).
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}
