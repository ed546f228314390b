//! How a proxy names the client: by a PROXY header before the session, or by XCLIENT.
//!
//! Until the header is complete there is no session: no greeting, no number, no place in a limited number of sessions,
//! no figures except those of proxies. The connection costs one buffer and a deadline.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Connection, Fate, Manner, Origin, Phase, RULES_PER_TURN, Transport};
use crate::log::HeaderFault;
use crate::measure::{Cause, Probe};
use crate::net::context::Context;
use crate::net::passages::Passage;
use crate::net::resources::{Resources, Stop};
use crate::records::{Endpoint, Proxied};
use crate::smtp::ClientAttributes;
use crate::smtp::proxy::{self, Client, HeaderError, Scan};
use crate::time::{Timestamp, wall_time};

/// How long to wait for the first octet of an optional header. A proxy sends its header at once, and an SMTP client
/// waits for the greeting: this delays it in vain.
pub(super) const HEADER_WAIT: Duration = Duration::from_millis(500);

/// How long to wait, from the accept, until the octets received are certainly an optional header or not. A client may
/// have sent its first octets, a `P` or a line end, and then waits for its greeting. Retransmissions of TCP take less
/// (`doc/proxy-protocol.txt` of HAProxy, section 2: at least 3 s).
const SIGNATURE_WAIT: Duration = Duration::from_secs(3);

/// A connection that has no session yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preface {
    /// Without a header the connection is closed.
    is_required: bool,
    accepted_at: Timestamp,
    /// The peer had closed the connection when it was accepted, so late that it may have waited for the accept.
    has_left: bool,
    /// The connection is being closed.
    is_refused: bool,
}

/// Why a connection is closed without a session.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Malformed(HeaderError),
    /// Other input, where a header is required.
    Missing,
    /// Incomplete when its time was up.
    Unfinished,
    /// The header came after the greeting.
    BehindGreeting,
}

impl Refusal {
    fn fault(self) -> HeaderFault {
        match self {
            Self::Malformed(_) | Self::Missing => HeaderFault::Malformed,
            Self::Unfinished | Self::BehindGreeting => HeaderFault::Late,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Malformed(error) => format!("it is malformed: {error}"),
            Self::Missing => {
                "the connection begins with something else, expected a header as its listener has ?proxy=require"
                    .to_owned()
            }
            Self::Unfinished => "it was not complete in time".to_owned(),
            Self::BehindGreeting => {
                format!("it came behind the greeting, more than {HEADER_WAIT:?} after the connection")
            }
        }
    }
}

impl<T: Transport> Connection<T> {
    /// Waits for the header of a trusted peer instead of greeting it. `has_left`: the peer had closed the connection
    /// when it was accepted.
    pub(in crate::net) fn await_header(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        is_required: bool,
        has_left: bool,
    ) -> Fate {
        let preface = Preface { is_required, accepted_at: resources.now, has_left, is_refused: false };
        self.deadline = match is_required {
            true => resources.now.after(header_timeout(context)),
            false => resources.now.after(HEADER_WAIT),
        };
        self.phase = Phase::Preface(Box::new(preface));
        self.settle(context, resources)
    }

    /// Takes the header from the start of `input`, which is all input so far. Returns the number of octets taken; 0
    /// while more are needed.
    pub(super) fn take_header(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        preface: Preface,
        input: &[u8],
    ) -> usize {
        match proxy::scan(input) {
            _ if input.is_empty() => 0,
            Ok(Scan::Incomplete) => {
                debug_assert!(input.len() < proxy::MAX_HEADER, "a header is bounded");
                let timeout = header_timeout(context);
                let is_certain = preface.is_required || proxy::has_signature(input);
                let wait = if is_certain { timeout } else { timeout.min(SIGNATURE_WAIT) };
                self.deadline = preface.accepted_at.after(wait);
                0
            }
            Ok(Scan::Whole { length, client }) => {
                resources.gathering.stats.proxy.headers += 1;
                self.name_client(client);
                self.begin(context, resources, preface, input.len() > length);
                length
            }
            Ok(Scan::Absent) if !preface.is_required => {
                self.begin(context, resources, preface, true);
                0
            }
            Ok(Scan::Absent) => self.refuse(context, resources, Refusal::Missing, input),
            Err(error) => self.refuse(context, resources, Refusal::Malformed(error), input),
        }
    }

    /// The time for the header, or for its first octet, is up. Input that arrived while this process did not run is not
    /// late.
    pub(super) fn end_wait(&mut self, context: &Context, resources: &mut Resources) -> Fate {
        self.readable = true;
        resources.limit_turn(context.policy().has_rules().then_some(RULES_PER_TURN));
        if self.read_on(context, resources).is_err() {
            return Fate::Over;
        }
        let is_over = self.deadline <= resources.now && self.input_end.is_none();
        let preface = match self.phase {
            Phase::Preface(ref preface) if is_over && !preface.is_refused => **preface,
            _ => return self.settle(context, resources),
        };
        if self.needs_header(preface) {
            self.refuse(context, resources, Refusal::Unfinished, b"");
        } else {
            self.begin(context, resources, preface, self.input.is_some());
            self.is_header_late = true;
        }
        self.run(context, resources)
    }

    /// The peer has ended its output before its header was complete. Where the header is optional, this is a client
    /// that has left.
    pub(super) fn end_before_session(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        preface: Preface,
    ) -> Fate {
        if self.needs_header(preface) {
            return Fate::Over;
        }
        self.begin(context, resources, preface, self.input.is_some());
        self.settle(context, resources)
    }

    /// A session needs the whole header: it is required, or has certainly begun.
    fn needs_header(&self, preface: Preface) -> bool {
        let input = self.input.as_ref().map_or(&[][..], |input| input.bytes());
        preface.is_required || proxy::has_signature(input)
    }

    /// Takes the addresses of the session from the header.
    fn name_client(&mut self, client: Client<'_>) {
        let (source, destination) = match client {
            Client::Unnamed => return,
            Client::Inet { source, destination } => {
                let end = |(ip, port): (IpAddr, u16)| Endpoint::Inet((ip.to_canonical(), port).into());
                (end(source), end(destination))
            }
            Client::Unix { source, destination } => (unix(source), unix(destination)),
        };
        self.origin.local_addr = destination;
        let proxy = std::mem::replace(&mut self.origin.peer_addr, source);
        self.origin.proxied = Some(Arc::new(Proxied { proxy, client: ClientAttributes::default() }));
    }

    /// The session continues for the client that XCLIENT has named, and counts as that client's.
    pub(super) fn follow_xclient(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        client: ClientAttributes,
    ) {
        resources.gathering.stats.proxy.xclients += 1;
        // May ask the system.
        self.local_addr();
        let Origin { peer_addr, local_addr, proxied, .. } = &mut self.origin;
        let source = inet(peer_addr, client.ip(), |port| client.port(port));
        let mut named = match proxied {
            Some(proxied) => Proxied::clone(proxied),
            None => Proxied { proxy: peer_addr.clone(), client: ClientAttributes::default() },
        };
        *local_addr = inet(local_addr, client.destination_ip(), |port| client.destination_port(port));
        named.client.update(client);
        *proxied = Some(Arc::new(named));
        *peer_addr = source;
        if let Some(place) = &mut self.place {
            context.reassign_place(place, self.origin.peer());
        }
    }

    /// Begins the session. `has_sent`: the client has sent input already.
    fn begin(&mut self, context: &Context, resources: &mut Resources, preface: Preface, has_sent: bool) {
        self.origin.session_id = resources.note_arrival(&context.counters);
        self.origin.connected_at = wall_time();
        self.origin.connected = resources.now.since_start();
        resources.announcer.announce(|| Passage::of(&self.origin, None));
        if let Some(place) = &mut self.place {
            context.assign_place(place, self.origin.peer());
        }
        self.probe = Probe::new(resources.now);
        if preface.has_left {
            self.note_leaving_before_greeting(has_sent);
        }
        self.phase = Phase::Open;
        self.welcome(context, resources);
    }

    /// Closes a connection without a session. Consumes all of its input.
    fn refuse(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        refusal: Refusal,
        input: &[u8],
    ) -> usize {
        let hook = context.header_hook.as_ref();
        resources.note_header(hook, refusal.fault(), &self.origin, || refusal.text());
        if let Phase::Preface(preface) = &mut self.phase {
            preface.is_refused = true;
        }
        input.len()
    }

    /// Whether the first input after the greeting is a header, too late to be valid. Ends the session then: as commands
    /// it would be answered, and the client of the proxy would never be identified.
    pub(super) fn ends_by_late_header(
        &mut self,
        context: &Context,
        resources: &mut Resources,
        input: &[u8],
    ) -> bool {
        let scan = proxy::scan(input);
        // An incomplete line may become a header.
        self.is_header_late = matches!(scan, Ok(Scan::Incomplete)) && !input.contains(&b'\n');
        let is_header = match scan {
            Ok(Scan::Whole { .. }) | Err(_) => true,
            Ok(Scan::Absent | Scan::Incomplete) => false,
        };
        if is_header {
            self.refuse(context, resources, Refusal::BehindGreeting, input);
            self.probe.end(Cause::Dismissed);
            self.begin_end(context, resources, Manner::Orderly);
        }
        is_header
    }

    /// Counts a connection that ends without a session.
    pub(super) fn close_before_session(&self, resources: &mut Resources, preface: Preface) {
        if !preface.is_refused && resources.stop == Stop::None {
            resources.gathering.stats.proxy.broken_off += 1;
        }
    }
}

impl Preface {
    pub(super) fn is_refused(self) -> bool {
        self.is_refused
    }

    /// The connection has nothing more to wait for. A stop that spares idle sessions still closes connections without
    /// one.
    pub(super) fn is_over(&self, stop: Stop) -> bool {
        self.is_refused || stop > Stop::None
    }
}

/// How long a connection may take for its header or handshake. A session timeout of zero closes sessions after their
/// greeting, so that a session must be able to begin.
pub(super) fn header_timeout(context: &Context) -> Duration {
    context.settings().session_timeout.max(HEADER_WAIT)
}

/// An endpoint with another port, and another address if given.
fn inet(end: &Endpoint, ip: Option<IpAddr>, port: impl FnOnce(u16) -> u16) -> Endpoint {
    match (ip, end.inet()) {
        (Some(ip), before) => Endpoint::Inet((ip, port(before.map_or(0, |end| end.port()))).into()),
        (None, Some(before)) => Endpoint::Inet((before.ip(), port(before.port())).into()),
        (None, None) => end.clone(),
    }
}

fn unix(path: &[u8]) -> Endpoint {
    Endpoint::Unix((!path.is_empty()).then(|| Arc::from(Path::new(OsStr::from_bytes(path)))))
}
