//! One session: bytes in, steps out. The [`dialogue`] decides, and a recorder records its events if records are read.
//! Imports all other modules of `smtp`; pure.

mod answer;
mod arguments;
mod authentication;
mod chunk;
mod content;
mod dialogue;
mod envelope;
mod filling;
mod mail;
mod protocol;
mod recipients;
mod sequence;
mod starttls;
mod step;
mod turn;
#[cfg(test)]
mod walk;
mod xclient;

use std::sync::Arc;

pub use protocol::Protocol;
pub(crate) use step::Offered;
pub use step::{AuthOutcome, AuthStep, CommandLine, Expect, Progress, Received, Step};

use self::dialogue::Dialogue;
use self::turn::{Records, Turn};
use crate::smtp::auth::{Checked, ExternalIdentity};
use crate::smtp::policy::{Keep, Policy};
use crate::smtp::record::{LastRecord, Record, Recorder, Unsent};
use crate::smtp::reply::{Next, Reply, ReplyKind, Stage};
use crate::smtp::rules::{Environment, HandshakePlan};

/// The server's side of one session of SMTP or LMTP.
///
/// Its driver calls [`greeting`](Self::greeting) once, then [`advance`](Self::advance) with the client's input, and
/// [`finish`](Self::finish) at the end. Each [`Step`] contains all instructions for the driver.
///
/// ```
/// use smtpmock::smtp::rules::Environment;
/// use smtpmock::smtp::{Filing, Policy, Session};
///
/// let (policy, mut environment) = (Policy::default(), Environment::alone());
/// let mut session = Session::new();
/// let greeting = session.greeting(&policy, &mut environment);
/// let mut output = greeting.wire().to_vec();
/// let mut input: &[u8] = b"EHLO c.example\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n\
///     DATA\r\nHello\r\n.\r\nQUIT\r\n";
/// let mut records = Vec::new();
/// while !input.is_empty() {
///     let progress = session.advance(&policy, &mut environment, input);
///     input = &input[progress.consumed..];
///     let Some(step) = progress.step else { continue };
///     output.extend_from_slice(step.wire());
///     if let Filing::Finished(record) = step.filing {
///         records.push(*record);
///     }
///     // … and wait for step.delay before, and do as step.next says
/// }
/// records.extend(session.finish(&policy).map(|last| last.record));
/// assert!(output.ends_with(b"250 Received\r\n221 Closing connection\r\n"));
/// assert!(records[0].is_consistent());
/// assert_eq!(records[0].msg_text(), b"Hello\r\n");
/// ```
#[derive(Debug, Default)]
pub struct Session {
    dialogue: Dialogue,
    records: Records,
}

impl Session {
    /// An SMTP session before its greeting.
    pub fn new() -> Self {
        Self::default()
    }

    /// A session of this protocol before its greeting.
    ///
    /// In LMTP a message gets one step for each accepted RCPT. While more follow the session expects
    /// [nothing](Expect::Nothing), and its driver calls [`advance`](Self::advance) again with any input:
    ///
    /// ```
    /// use smtpmock::smtp::rules::Environment;
    /// use smtpmock::smtp::{Expect, Policy, Protocol, Session};
    ///
    /// let (mut policy, mut environment) = (Policy::default(), Environment::alone());
    /// policy.add_rule("message to=full@* reply=\"452 4.2.2 Mailbox full\"".parse()?);
    /// let mut session = Session::speaking(Protocol::Lmtp);
    /// session.greeting(&policy, &mut environment);
    /// let mut input: &[u8] = b"LHLO c.example\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n\
    ///     RCPT TO:<full@example.com>\r\nDATA\r\nHello\r\n.\r\n";
    /// let (mut output, mut expects) = (Vec::new(), Expect::Command);
    /// while !input.is_empty() || expects == Expect::Nothing {
    ///     let progress = session.advance(&policy, &mut environment, input);
    ///     (input, expects) = (&input[progress.consumed..], progress.expects);
    ///     let Some(step) = progress.step else { continue };
    ///     output.extend_from_slice(step.wire());
    /// }
    /// assert!(output.ends_with(b"250 2.0.0 Ok: queued as 00000000-1-1\r\n452 4.2.2 Mailbox full\r\n"));
    /// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
    /// ```
    pub fn speaking(protocol: Protocol) -> Self {
        Self { dialogue: Dialogue::speaking(protocol), records: Records::default() }
    }

    /// The greeting of a new connection. A greeting other than 2yz refuses the session: commands other than QUIT get
    /// [`ReplyKind::SessionRefused`] (RFC 5321 section 3.1).
    pub fn greeting(&mut self, policy: &Policy, environment: &mut Environment<'_>) -> Step {
        self.dialogue.greeting(&mut Turn {
            policy,
            environment,
            records: &mut self.records,
            line: None,
            check: None,
        })
    }

    /// The name in the last EHLO, LHLO or HELO; `None` before it, and after STARTTLS.
    pub(crate) fn client_name(&self) -> Option<&[u8]> {
        self.dialogue.envelope.as_ref()?.helo()
    }

    /// All further input is encrypted. Called before the greeting if TLS begins with the connection (RFC 8314 section
    /// 3.3), or when the handshake after [`Next::StartTls`] is done.
    pub fn set_encrypted(&mut self) {
        self.dialogue.is_encrypted = true;
    }

    /// The client has a proven identity below SMTP, for example by a certificate: it may authenticate by EXTERNAL (RFC
    /// 4422 appendix A). Called together with [`set_encrypted`](Self::set_encrypted).
    pub fn set_external(&mut self, identity: ExternalIdentity) {
        self.dialogue.external = Some(Arc::new(identity));
    }

    /// The decision of rules at [`Stage::Tls`] after the client's hello, with the server name in it if any. Not needed
    /// without such rules.
    ///
    /// ```
    /// use smtpmock::smtp::rules::{Environment, WrongCertificate};
    /// use smtpmock::smtp::{Policy, Session};
    ///
    /// let (mut policy, mut environment) = (Policy::default(), Environment::alone());
    /// policy.add_rule("tls sni=*.old.example certificate=expired".parse()?);
    /// let session = Session::new();
    /// let plan = session.handshake(&policy, &mut environment, Some(b"mx.old.example"));
    /// assert_eq!(plan.certificate, Some(WrongCertificate::Expired));
    /// assert_eq!(session.handshake(&policy, &mut environment, None), Default::default());
    /// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
    /// ```
    pub fn handshake(
        &self,
        policy: &Policy,
        environment: &mut Environment<'_>,
        sni: Option<&[u8]>,
    ) -> HandshakePlan {
        self.dialogue.handshake(policy, environment, sni)
    }

    /// Takes input from the start of `input`, up to one reply. While the session expects [nothing](Expect::Nothing) it
    /// takes none and returns the next reply.
    pub fn advance(&mut self, policy: &Policy, environment: &mut Environment<'_>, input: &[u8]) -> Progress {
        let turn = &mut Turn { policy, environment, records: &mut self.records, line: None, check: None };
        let progress = self.dialogue.advance(turn, input);
        debug_assert!(progress.consumed <= input.len(), "{progress:?} of {} octets", input.len());
        // Without these checks the step is built in place, and never copied.
        if cfg!(debug_assertions) {
            self.assert_consistent(&progress);
        }
        progress
    }

    /// Continues an authentication exchange with the result of its [check](Progress::check). No step follows without a
    /// pending check, as after the session has [ended](Self::finish).
    ///
    /// ```
    /// use smtpmock::smtp::auth::{Auth, Credential};
    /// use smtpmock::smtp::rules::Environment;
    /// use smtpmock::smtp::{Esmtp, Policy, Session};
    ///
    /// let mut auth = Auth::default();
    /// auth.add(Credential::user("ann", "secret"));
    /// let (mut policy, mut environment) = (Policy::default(), Environment::alone());
    /// policy.set_esmtp(Some(Esmtp { auth, ..Esmtp::default() }));
    /// let mut session = Session::new();
    /// session.greeting(&policy, &mut environment);
    /// session.advance(&policy, &mut environment, b"EHLO client.example\r\n");
    /// let line = b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n";
    /// let mut progress = session.advance(&policy, &mut environment, line);
    /// assert_eq!(progress.line.unwrap().within(line), &b"AUTH PLAIN <redacted>"[..]);
    /// // A password hashed by bcrypt takes long to check. Any thread may do that, while the session waits.
    /// if let Some(check) = progress.check.take() {
    ///     progress = session.resume(&policy, &mut environment, check.run());
    /// }
    /// assert_eq!(progress.step.unwrap().reply.code(), Some(235));
    /// ```
    pub fn resume(
        &mut self,
        policy: &Policy,
        environment: &mut Environment<'_>,
        checked: Checked,
    ) -> Progress {
        let turn = &mut Turn { policy, environment, records: &mut self.records, line: None, check: None };
        self.dialogue.resume(turn, checked)
    }

    /// Asserts the invariants after each line.
    fn assert_consistent(&self, progress: &Progress) {
        let is_open = self.dialogue.is_in_transaction();
        if let Some(step) = &progress.step {
            assert_eq!(step.number, self.dialogue.steps, "each reply has the next number");
            assert_eq!(step.is_in_transaction, is_open);
            assert_eq!(step.message.is_some(), step.stage == Stage::Message);
            assert!(
                matches!(step.next, Next::Continue) || progress.expects != Expect::Nothing,
                "nothing follows an end"
            );
        }
        let expects = self.dialogue.expects();
        assert_eq!(progress.expects, expects);
        let is_in_message = matches!(expects, Expect::Data | Expect::NextChunk | Expect::Nothing);
        assert!(is_open || !is_in_message, "a message belongs to a transaction");
        assert!(!is_open || expects != Expect::Response, "nobody authenticates in a transaction");
        assert!(progress.check.is_none() || progress.step.is_none(), "a check comes before its step");
    }

    /// The unfinished record, to which [`Filing::Accepted`](crate::smtp::Filing::Accepted) and
    /// [`Filing::Changed`](crate::smtp::Filing::Changed) refer; `None` without one. Steps do not contain it: copying
    /// takes time that grows with its recipients, and a driver that publishes it needs only one copy a turn.
    pub fn record(&self) -> Option<&Record> {
        self.records.0.as_ref().map(Recorder::record)
    }

    /// A reply of this kind that answers no command, in the form of this session: with its places filled, and with an
    /// enhanced status code if they were offered.
    pub fn reply_of_kind(&self, policy: &Policy, environment: &Environment<'_>, kind: ReplyKind) -> Reply {
        self.dialogue.reply_of_kind(policy, environment, kind)
    }

    /// Removes replies that were never sent whole from the unfinished record, at the end of a connection or before a
    /// delayed reply is replaced. Must be followed by [`finish`](Self::finish), without further lines. Filed records
    /// belong to the caller: see [`Record::withdraw`].
    ///
    /// ```
    /// use smtpmock::smtp::rules::Environment;
    /// use smtpmock::smtp::{Policy, RecordMode, Session, Unsent};
    ///
    /// let (mut policy, mut environment) = (Policy::default(), Environment::alone());
    /// policy.records = RecordMode::Session;
    /// let mut session = Session::new();
    /// session.greeting(&policy, &mut environment);
    /// let step = session.advance(&policy, &mut environment, b"EHLO c.example\r\n").step.unwrap();
    /// assert!(session.record().unwrap().helo);
    /// // The client has closed the connection, and the reply could not be written.
    /// session.withdraw(&Unsent { first: step.number, instead: None });
    /// let last = session.finish(&policy).unwrap();
    /// assert!(!last.record.helo && last.record.helo_exchange.response.is_none());
    /// ```
    pub fn withdraw(&mut self, unsent: &Unsent) {
        if let Some(recorder) = &mut self.records.0 {
            recorder.withdraw(unsent);
        }
    }

    /// Ends the session and returns its last record, if any: with
    /// [`RecordMode::Message`](crate::smtp::RecordMode::Message) that of an unfinished mail transaction; with
    /// [`RecordMode::Session`](crate::smtp::RecordMode::Session) that of any client that has sent something
    /// (go-smtp-mock also has an empty one for other clients, such as readiness probes). None with [`Keep::Nothing`].
    pub fn finish(&mut self, policy: &Policy) -> Option<LastRecord> {
        self.dialogue.finish();
        if policy.keep == Keep::Nothing {
            return None;
        }
        let recorder = self.records.0.take().unwrap_or_else(|| Recorder::new(policy.records));
        recorder.finish(self.dialogue.has_spoken())
    }

    /// Bytes in memory in addition to the session itself: the message being received, the record with its lines,
    /// recipients and message, and the envelope.
    pub fn held_memory(&self) -> usize {
        self.dialogue.memory() + self.records.0.as_ref().map_or(0, Recorder::memory)
    }

    /// The client has sent at least one octet.
    pub fn has_spoken(&self) -> bool {
        self.dialogue.has_spoken()
    }

    /// The client has sent an incomplete command line or message, or had when the session [ended](Self::finish): it
    /// will probably send more.
    pub fn owes_input(&self) -> bool {
        self.dialogue.owes_input()
    }

    /// The argument of the last EHLO, HELO or LHLO that was accepted.
    pub fn helo(&self) -> Option<&[u8]> {
        self.dialogue.envelope.as_ref()?.helo()
    }

    /// The user that the client has authenticated as.
    pub fn user(&self) -> Option<&[u8]> {
        Some(&self.dialogue.identity.as_ref()?.user)
    }

    /// Messages accepted so far.
    pub fn messages(&self) -> u32 {
        self.dialogue.messages
    }

    /// No command line, no authentication exchange and no mail transaction has begun.
    pub fn is_idle(&self) -> bool {
        !self.dialogue.is_in_transaction() && !self.owes_input() && self.dialogue.expects() == Expect::Command
    }

    /// Sets how many octets may be stored in addition to those already [held](Self::held_memory). Beyond that
    /// recipients and messages are refused with [`ReplyKind::InsufficientStorage`].
    pub fn set_memory_left(&mut self, octets: Option<usize>) {
        self.dialogue.memory_left = octets;
    }
}
