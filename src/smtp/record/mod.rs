//! Records: the requests and replies of one mail transaction, or of one session, and how they are built from the events
//! of a dialogue. Imports `auth`, `command`, `reply` and `policy`; pure.

mod deliveries;
mod per_message;
mod per_session;
mod recorder;

pub use deliveries::RecipientResponse;
pub(super) use recorder::{Answered, Delivery, Event, Recipient, Recorder};
pub use recorder::{Filing, LastRecord};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deliveries::Deliveries;

use crate::smtp::auth::{Identity, Mechanism};
use crate::smtp::command::octets::{Listed, Octets};
#[cfg(test)]
use crate::smtp::command::{AddressRules, Command, Extensions, Grammar, Request};
use crate::smtp::command::{Parameters, Part};
use crate::smtp::reply::Reply;

/// A request and the response to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The line as received, trimmed of white space.
    pub request: Box<[u8]>,
    /// The reply; `None` if none was sent whole.
    pub response: Option<Reply>,
    /// Number of the reply within its session; 0 in an empty exchange.
    pub(in crate::smtp) number: u32,
    /// When the reply was decided.
    pub(in crate::smtp) decided: Decided,
    /// The name or mailbox in the request.
    pub(in crate::smtp) name: Option<Part>,
    pub(in crate::smtp) parameters: Option<Part>,
}

impl Exchange {
    /// The domain or address literal of HELO and EHLO, or the mailbox of MAIL and RCPT, as parsed on arrival: without
    /// angle brackets and source route, empty for the null reverse-path. `None` if invalid.
    pub fn name(&self) -> Option<&[u8]> {
        self.name.map(|name| name.within(&self.request))
    }

    /// The parameters of MAIL and RCPT, as parsed on arrival: each is a keyword and a value, accepted or not. Empty
    /// after an invalid path.
    pub fn parameters(&self) -> Parameters<'_> {
        self.parameters
            .map_or(Parameters::default(), |words| Parameters::of_words(words.within(&self.request)))
    }

    #[cfg(test)]
    pub(crate) fn recorded(line: &[u8], response: Reply) -> Self {
        let grammar = Grammar { addresses: AddressRules::Any, offered: &Extensions::default() };
        let name = match Request::parse(line, grammar).command {
            Command::Helo(name) | Command::Ehlo(name) => name.map(|name| name.as_bytes()),
            Command::Mail { path, .. } | Command::Rcpt { path, .. } => path.ok().map(|path| path.mailbox()),
            _ => None,
        };
        let name = name.and_then(|name| Part::of(line, name));
        let decided = Decided::default();
        Self { request: line.into(), response: Some(response), number: 0, decided, name, parameters: None }
    }

    /// When the reply was decided, before its delay: time since the server started. `None` without a reply.
    pub fn decided(&self) -> Option<Duration> {
        self.decided.get()
    }

    /// The reply's text without its final CRLF; empty if none was sent whole.
    pub fn response_text(&self) -> &[u8] {
        self.response.as_ref().map_or(b"", Reply::text)
    }

    /// Bytes in memory in addition to the exchange itself.
    fn heap(&self) -> usize {
        let request = if self.request.is_empty() { 0 } else { BLOCK + self.request.len() };
        request + reply_memory(self.response.as_ref())
    }

    /// Whether the reply is 2yz, which accepts any command except DATA (RFC 5321 section 4.2.1).
    pub fn is_accepted(&self) -> bool {
        matches!(self.response.as_ref().and_then(Reply::code), Some(200..300))
    }
}

/// When a reply was decided, in microseconds since the server started; 0 without a reply. All values compare as equal:
/// exchanges are compared by texts and replies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decided(u64);

impl Decided {
    pub(in crate::smtp) fn at(now: Duration) -> Self {
        // Not in 128 bits like `as_micros`: this runs for each command.
        Self((now.as_secs() * 1_000_000 + u64::from(now.subsec_micros())) | 1)
    }

    fn get(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_micros(self.0))
    }
}

impl PartialEq for Decided {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Decided {}

/// How the client of a record was identified: by AUTH (RFC 4954), or by XCLIENT.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The AUTH command without its initial response, and the reply that ended the exchange; or XCLIENT.
    pub exchange: Exchange,
    pub(in crate::smtp) identity: Arc<Identity>,
}

impl Authentication {
    /// The user.
    pub fn user(&self) -> &[u8] {
        &self.identity.user
    }

    /// The mechanism; `None` if a trusted peer has named the user by XCLIENT.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.identity.mechanism
    }

    fn memory(&self) -> usize {
        BLOCK + ARC + size_of::<Self>() + self.exchange.heap() + self.identity.memory()
    }
}

/// `"AUTH PLAIN <redacted>" => "235 Authentication successful", as "ann"`
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, as {:?}", self.exchange, Octets(self.user()))
    }
}

/// The replies of a session that were never sent whole: always the last ones. For
/// [`Session::withdraw`](crate::smtp::Session::withdraw) and [`Record::withdraw`].
#[derive(Clone, Debug)]
pub struct Unsent {
    /// Number of the first of them, by [`Step::number`](crate::smtp::Step::number).
    pub first: u32,
    /// The reply that was sent instead of the first, if any.
    pub instead: Option<Reply>,
}

impl Unsent {
    fn contains(&self, number: u32) -> bool {
        number >= self.first
    }

    fn withdraw(&self, number: u32, response: &mut Option<Reply>) {
        if self.contains(number) {
            *response = self.instead.clone().filter(|_| number == self.first);
        }
    }
}

/// The fields of go-smtp-mock's `Message`, named after its getters.
///
/// The flags are always set; which texts are recorded depends on [`Keep`](crate::smtp::Keep).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Number of its mail transaction within the session, the first of which is 1; zero before its MAIL.
    pub transaction: u32,
    /// HELO or EHLO.
    pub helo_exchange: Exchange,
    /// MAIL.
    pub mailfrom_exchange: Exchange,
    /// Each RCPT that counts, in order. Cloning a record shares them.
    pub rcptto_exchanges: Vec<Arc<Exchange>>,
    /// Bytes in memory of the exchanges that the session recorded, without their list.
    pub(crate) rcptto_memory: usize,
    /// DATA.
    pub data_exchange: Exchange,
    /// The message text, dots unstuffed, without the final dot's line; see [`msg_text`](Self::msg_text).
    /// Cloning a record shares it.
    pub msg_request: Option<Arc<Vec<u8>>>,
    /// Octets of the message text, retained or not.
    pub msg_size: usize,
    /// The reply to the message; `None` if none was sent whole. In LMTP the first that accepts the message, otherwise
    /// the last.
    pub msg_response: Option<Reply>,
    /// In LMTP the replies to the message, one for each recipient.
    pub(crate) deliveries: Option<Box<Deliveries>>,
    /// Number of that reply within its session; 0 before it.
    pub(crate) msg_number: u32,
    /// When it was decided.
    pub(crate) msg_decided: Decided,
    /// RSET.
    pub rset_exchange: Exchange,
    /// HELO was accepted.
    pub helo: bool,
    /// The command was EHLO.
    pub ehlo: bool,
    /// MAIL was accepted.
    pub mailfrom: bool,
    /// Any RCPT was accepted; with [`RecordMode::Session`](crate::smtp::RecordMode::Session) and without
    /// `multiple_rcptto` the last.
    pub rcptto: bool,
    /// DATA was accepted.
    pub data: bool,
    /// The message was accepted.
    pub msg: bool,
    /// RSET was accepted.
    pub rset: bool,
    /// NOOP was received.
    pub noop: bool,
    /// QUIT was received.
    pub quit_sent: bool,
    /// `None` if the client has not authenticated.
    pub auth: Option<Arc<Authentication>>,
}

impl Record {
    /// A whole message was accepted: MAIL, RCPT, DATA and the message text.
    pub fn is_consistent(&self) -> bool {
        self.mailfrom && self.rcptto && self.data && self.msg
    }

    /// When the reply to the message was decided, before its delay: time since the server started.
    pub fn msg_decided(&self) -> Option<Duration> {
        self.msg_decided.get()
    }

    /// The message text; empty if not recorded.
    pub fn msg_text(&self) -> &[u8] {
        self.msg_request.as_deref().map_or(b"", Vec::as_slice)
    }

    /// Records a RCPT.
    fn push_rcptto(&mut self, exchange: Exchange) {
        // The first `push` to an empty `Vec` costs more than `with_capacity`.
        if self.rcptto_exchanges.capacity() == 0 {
            self.rcptto_exchanges = Vec::with_capacity(FEW);
        }
        self.rcptto_memory += BLOCK + ARC + size_of::<Exchange>() + exchange.heap();
        self.rcptto_exchanges.push(Arc::new(exchange));
    }

    /// Erases everything except HELO, as for MAIL and RSET.
    fn keep_helo(&mut self) {
        self.transaction = 0;
        self.mailfrom_exchange = Exchange::default();
        self.mailfrom = false;
        self.keep_mail();
    }

    /// Erases everything except HELO and MAIL, as for RCPT.
    fn keep_mail(&mut self) {
        self.rcptto_exchanges.clear();
        self.rcptto_memory = 0;
        self.rcptto = false;
        self.keep_rcpt();
    }

    /// Erases everything except HELO, MAIL and RCPT, as for DATA.
    fn keep_rcpt(&mut self) {
        self.data_exchange = Exchange::default();
        self.data = false;
        self.msg_request = None;
        self.msg_response = None;
        self.deliveries = None;
        self.msg_number = 0;
        self.msg_size = 0;
        self.msg = false;
        self.rset_exchange = Exchange::default();
        self.rset = false;
        self.noop = false;
        self.quit_sent = false;
    }

    /// Removes recorded replies that were never sent whole, and what they accepted: the client can't know of them. A
    /// record that was [filed](Filing::Finished) before the replies in it were sent may have such replies too.
    pub fn withdraw(&mut self, unsent: &Unsent) {
        let exchanges = [
            (&mut self.helo_exchange, &mut self.helo),
            (&mut self.mailfrom_exchange, &mut self.mailfrom),
            (&mut self.data_exchange, &mut self.data),
            (&mut self.rset_exchange, &mut self.rset),
        ];
        for (exchange, accepted) in exchanges {
            *accepted &= !unsent.contains(exchange.number);
            unsent.withdraw(exchange.number, &mut exchange.response);
        }
        for exchange in self.rcptto_exchanges.iter_mut().filter(|exchange| unsent.contains(exchange.number)) {
            let exchange = Arc::make_mut(exchange);
            unsent.withdraw(exchange.number, &mut exchange.response);
        }
        self.auth.take_if(|auth| unsent.contains(auth.exchange.number));
        let has_lost_rcpt = self.rcptto_exchanges.last().is_some_and(|last| unsent.contains(last.number));
        if has_lost_rcpt {
            self.rcptto &= self.rcptto_exchanges.iter().any(|exchange| exchange.is_accepted());
        }
        if self.deliveries.is_some() {
            self.withdraw_deliveries(unsent);
        } else if unsent.contains(self.msg_number) {
            unsent.withdraw(self.msg_number, &mut self.msg_response);
            self.msg_request = None;
            self.msg = false;
        }
    }

    /// Bytes of memory of this record, including its bookkeeping. Shared parts count in full.
    pub(crate) fn memory(&self) -> usize {
        let exchanges =
            [&self.helo_exchange, &self.mailfrom_exchange, &self.data_exchange, &self.rset_exchange];
        let text = |text: &Arc<Vec<u8>>| 2 * BLOCK + ARC + size_of::<Vec<u8>>() + text.capacity();
        size_of::<Self>()
            + exchanges.iter().map(|exchange| exchange.heap()).sum::<usize>()
            + self.rcptto_exchanges.capacity() * size_of::<Arc<Exchange>>()
            + self.rcptto_memory
            + reply_memory(self.msg_response.as_ref())
            + self.msg_request.as_ref().map_or(0, text)
            + self.deliveries.as_ref().map_or(0, |deliveries| BLOCK + deliveries.memory())
            + self.auth.as_deref().map_or(0, Authentication::memory)
    }
}

/// Bytes in memory of a reply built for one command, in two blocks at most. Others belong to the configuration.
fn reply_memory(reply: Option<&Reply>) -> usize {
    reply.map(Reply::memory).filter(|memory| *memory > 0).map_or(0, |memory| 2 * BLOCK + memory)
}

/// Initial capacity for recipients.
const FEW: usize = 4;
/// Bytes of an `Arc` in addition to the shared value.
const ARC: usize = 2 * size_of::<usize>();
/// Approximate overhead of an allocator for each block, in bytes.
const BLOCK: usize = 16;

/// `"NOOP" => "250 Ok"`
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Dialogue(&self.request, self.response.as_ref()).fmt(f)
    }
}

/// A request, or a message, and the reply to it.
struct Dialogue<'a>(&'a [u8], Option<&'a Reply>);

impl fmt::Debug for Dialogue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} => ", Octets(self.0))?;
        match self.1 {
            Some(reply) => Octets(reply.text()).fmt(f),
            None => f.write_str("no reply"),
        }
    }
}

/// The recorded dialogue as text of bounded length, so that a failed assertion is readable.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Record");
        self.show_in(&mut shown);
        shown.finish()
    }
}

impl Record {
    /// Adds the non-empty fields to the output of a type that contains a record.
    pub(crate) fn show_in(&self, shown: &mut fmt::DebugStruct<'_, '_>) {
        let Self { helo_exchange, mailfrom_exchange, rcptto_exchanges, data_exchange, .. } = self;
        let Self { msg_request, msg_size, msg_response, deliveries, rset_exchange, .. } = self;
        let Self { helo, mailfrom, rcptto, data, msg, rset, noop, quit_sent, auth, .. } = self;
        show_exchange(shown, "helo", helo_exchange);
        if let Some(auth) = auth {
            shown.field("auth", auth);
        }
        show_exchange(shown, "mailfrom", mailfrom_exchange);
        if !rcptto_exchanges.is_empty() {
            shown.field("rcptto", &Listed(rcptto_exchanges));
        }
        show_exchange(shown, "data", data_exchange);
        if msg_request.is_some() || msg_response.is_some() {
            shown.field("msg", &Dialogue(self.msg_text(), msg_response.as_ref()));
            shown.field("msg_size", msg_size);
        }
        if deliveries.is_some() {
            let deliveries: Vec<_> = self.deliveries().collect();
            shown.field("deliveries", &Listed(&deliveries));
        }
        show_exchange(shown, "rset", rset_exchange);
        let flags = [
            (helo, "helo"),
            (mailfrom, "mailfrom"),
            (rcptto, "rcptto"),
            (data, "data"),
            (msg, "msg"),
            (rset, "rset"),
            (noop, "noop"),
            (quit_sent, "quit"),
        ];
        let accepted: Vec<&str> = flags.iter().filter(|(flag, _)| **flag).map(|(_, name)| *name).collect();
        shown.field("accepted", &format_args!("[{}]", accepted.join(", ")));
    }
}

fn show_exchange(shown: &mut fmt::DebugStruct<'_, '_>, name: &str, exchange: &Exchange) {
    if *exchange != Exchange::default() {
        shown.field(name, exchange);
    }
}

#[cfg(test)]
mod tests;
