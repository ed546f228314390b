//! A connection as other threads see it, and its end at their request.

use super::{Connection, Fate, Manner, Phase, Transport};
use crate::measure::Cause;
use crate::net::context::Context;
use crate::net::open_session::{Farewell, OpenSession, SessionState};
use crate::net::resources::Resources;
use crate::smtp::Expect;
use crate::time::Timestamp;

impl<T: Transport> Connection<T> {
    /// The number of its session; 0 while it waits for the header of a proxy.
    pub(in crate::net) fn session_id(&self) -> u64 {
        self.origin.session_id
    }

    /// Its last reply is queued, or has left.
    pub(in crate::net) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Closing(_) | Phase::Lingering { .. })
    }

    /// Copies the public state of the session.
    pub(in crate::net) fn glance(&self, now: Timestamp) -> OpenSession {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        OpenSession {
            id: self.origin.session_id,
            peer: self.origin.peer_addr.clone(),
            listener: self.origin.listener.clone(),
            protocol: self.origin.protocol,
            tls: self.stream.tls_session().cloned(),
            state: self.state(),
            stage: self.probe.stage(),
            helo: self.session.helo().map(text),
            user: self.session.user().map(text),
            messages: self.session.messages(),
            received: self.received,
            sent: self.left(),
            age: now.since(self.probe.opened()),
            silence: now.since(self.heard_at),
        }
    }

    fn state(&self) -> SessionState {
        match self.phase {
            // A preface has no session and is not listed.
            Phase::Preface(_) | Phase::Securing(_) => SessionState::Handshake,
            Phase::Open => match self.expects {
                Expect::Data | Expect::Chunk | Expect::NextChunk | Expect::Nothing => SessionState::Message,
                _ => SessionState::Command,
            },
            Phase::Delayed(_) => SessionState::Delay,
            Phase::Checking(_) => SessionState::Check,
            Phase::Held(..) => SessionState::Held,
            Phase::Closing(_) | Phase::Lingering { .. } => SessionState::End,
        }
    }

    /// Ends the session at the request of another thread.
    pub(in crate::net) fn leave(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        farewell: Farewell,
    ) -> Fate {
        if farewell == Farewell::Refused {
            return self.dismiss(context, resources);
        }
        self.probe.end(Cause::Stopped);
        self.withdraw_unsent(context, resources);
        match self.phase {
            Phase::Preface(_) | Phase::Securing(_) | Phase::Closing(_) | Phase::Lingering { .. } => {
                // Fails only if the peer is already gone.
                let _ = self.stream.reset_at_end();
                Fate::Over
            }
            _ => {
                self.begin_end(context, resources, Manner::Reset);
                self.settle(context, resources)
            }
        }
    }
}
