//! The smallest possible server around a pure [`Session`], without sockets.

use smtpmock::smtp::rules::Environment;
use smtpmock::smtp::{Expect, Filing, Next, Policy, Protocol, Record, ReplyKind, Session};

/// The server's side of one connection.
#[derive(Debug)]
pub(crate) struct Peer<'p> {
    policy: &'p Policy,
    session: Session,
    /// Input that has not been consumed yet.
    input: Vec<u8>,
    /// Replies that have not been read yet.
    pub(crate) output: Vec<u8>,
    /// Command lines, as a log may show them.
    pub(crate) log: Vec<u8>,
    pub(crate) closed: bool,
}

impl<'p> Peer<'p> {
    /// A new connection of SMTP; its greeting is in the output.
    pub(crate) fn connect(policy: &'p Policy) -> Self {
        Self::speaking(Protocol::Smtp, policy)
    }

    pub(crate) fn speaking(protocol: Protocol, policy: &'p Policy) -> Self {
        let mut session = Session::speaking(protocol);
        let output = session.greeting(policy, &mut Environment::alone()).reply.wire().to_vec();
        Self { policy, session, input: Vec::new(), output, log: Vec::new(), closed: false }
    }

    /// Processes bytes from the client. Complete records are added to `records`.
    pub(crate) fn receive(&mut self, bytes: &[u8], records: &mut Vec<Record>) {
        if self.closed {
            return;
        }
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let (mut at, mut expects) = (0, Expect::Command);
        while (at < input.len() || expects == Expect::Nothing) && !self.closed {
            let mut progress = self.session.advance(self.policy, &mut Environment::alone(), &input[at..]);
            at += progress.consumed;
            if let Some(line) = progress.line {
                self.log.extend_from_slice(&line.within(&input[at - progress.consumed..at]));
                self.log.push(b'\n');
            }
            if let Some(check) = progress.check {
                progress = self.session.resume(self.policy, &mut Environment::alone(), check.run());
            }
            expects = progress.expects;
            let Some(step) = progress.step else { break };
            self.output.extend_from_slice(step.reply.wire());
            if let Filing::Finished(record) = step.filing {
                records.push(*record);
            }
            if step.next == Next::Close {
                self.close(records);
            }
        }
        input.drain(..at);
        self.input = input;
    }

    /// The client has left, or the connection is closed.
    pub(crate) fn close(&mut self, records: &mut Vec<Record>) {
        if !self.closed {
            self.closed = true;
            records.extend(self.session.finish(self.policy).map(|last| last.record));
        }
    }

    /// The session timeout has passed. `told` is false if the server sends no reply.
    pub(crate) fn time_out(&mut self, told: bool, records: &mut Vec<Record>) {
        if told {
            let reply = self.policy.reply(ReplyKind::ServiceClosing);
            self.output.extend_from_slice(reply.wire());
        }
        self.close(records);
    }
}
