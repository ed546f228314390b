//! Replies, rendered once: what goes on the wire, CRLF included.

use std::fmt;
use std::sync::Arc;

use super::octets::Octets;

/// One reply as it goes on the wire, CRLF included. Cloning shares the bytes.
///
/// A text may hold CRLFs of its own: that is how a multi-line reply is configured
/// (RFC 5321 section 4.2.1). It is sent as it stands; a mock may lie.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// Ends with CRLF, always.
    wire: Arc<[u8]>,
}

impl Reply {
    /// Renders `text` (code and words, without the final CRLF).
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        let mut wire = Vec::with_capacity(text.len() + 2);
        wire.extend_from_slice(text);
        wire.extend_from_slice(b"\r\n");
        Self { wire: wire.into() }
    }

    /// The bytes to write.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The code of the reply; `None` where its text does not begin with three digits.
    pub fn code(&self) -> Option<u16> {
        let digits = self.wire.first_chunk::<3>()?;
        digits.iter().try_fold(0, |code, digit| match digit {
            b'0'..=b'9' => Some(code * 10 + u16::from(digit - b'0')),
            _ => None,
        })
    }

    /// The reply without its final CRLF.
    pub fn text(&self) -> &[u8] {
        &self.wire[..self.wire.len() - 2]
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reply").field(&Octets(self.text())).finish()
    }
}

/// Declares [`ReplyKind`] together with each kind's go-smtp-mock flag and default text.
macro_rules! reply_kinds {
    ($($(#[$doc:meta])* $kind:ident, $flag:literal, $text:literal;)*) => {
        /// Every reply the server can give; each text can be configured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ReplyKind {
            $($(#[$doc])* #[doc = ""] #[doc = concat!("Default: `", $text, "`")] $kind,)*
        }

        impl ReplyKind {
            /// All kinds, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The setting's name on go-smtp-mock's command line (`msgGreeting` …); for
            /// replies that go-smtp-mock does not have, the name in the same style.
            pub const fn flag(self) -> &'static str {
                match self { $(Self::$kind => $flag,)* }
            }

            /// The text used unless another is configured, without CRLF.
            pub const fn default_text(self) -> &'static str {
                match self { $(Self::$kind => $text,)* }
            }
        }
    };
}

reply_kinds! {
    /// The greeting of a new connection.
    Greeting, "msgGreeting", "220 Welcome";
    /// A line that is no known command.
    InvalidCommand, "msgInvalidCmd", "502 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT";
    /// QUIT.
    Quit, "msgQuitCmd", "221 Closing connection";
    /// Accepted and never used in a reply, as in go-smtp-mock.
    InvalidHeloSequence, "msgInvalidCmdHeloSequence", "503 Bad sequence of commands. HELO should be the first";
    /// HELO or EHLO with an argument that is no domain and no address literal.
    InvalidHeloArgument, "msgInvalidCmdHeloArg", "501 HELO requires domain address or valid address literal";
    /// HELO or EHLO with a blacklisted domain.
    HeloBlacklisted, "msgHeloBlacklistedDomain", "421 Service not available";
    /// HELO or EHLO accepted.
    HeloReceived, "msgHeloReceived", "250 Received";
    /// MAIL before HELO.
    InvalidMailSequence, "msgInvalidCmdMailfromSequence", "503 Bad sequence of commands. MAIL FROM should be used after HELO";
    /// MAIL with a reverse-path that is not valid.
    InvalidMailArgument, "msgInvalidCmdMailfromArg", "501 MAIL FROM requires valid email address";
    /// MAIL with a blacklisted reverse-path.
    MailBlacklisted, "msgMailfromBlacklistedEmail", "421 Service not available";
    /// MAIL accepted.
    MailReceived, "msgMailfromReceived", "250 Received";
    /// RCPT before MAIL.
    InvalidRcptSequence, "msgInvalidCmdRcpttoSequence", "503 Bad sequence of commands. RCPT TO should be used after MAIL FROM";
    /// RCPT with a forward-path that is not valid.
    InvalidRcptArgument, "msgInvalidCmdRcpttoArg", "501 RCPT TO requires valid email address";
    /// RCPT with a blacklisted forward-path.
    RcptBlacklisted, "msgRcpttoBlacklistedEmail", "421 Service not available";
    /// RCPT with a forward-path that is not registered.
    RcptNotRegistered, "msgRcpttoNotRegisteredEmail", "550 User not found";
    /// RCPT accepted.
    RcptReceived, "msgRcpttoReceived", "250 Received";
    /// DATA before an accepted RCPT.
    InvalidDataSequence, "msgInvalidCmdDataSequence", "503 Bad sequence of commands. DATA should be used after RCPT TO";
    /// DATA accepted: the client may send the message.
    DataReceived, "msgDataReceived", "354 Ready for receive message. End data with <CR><LF>.<CR><LF>";
    /// The message is over the size limit. The default text ends with the limit:
    /// `… max size of 10485760 bytes`.
    MessageTooBig, "msgMsgSizeIsTooBig", "552 Message exceeded max size of";
    /// The message was accepted.
    MessageReceived, "msgMsgReceived", "250 Received";
    /// RSET before HELO.
    InvalidRsetSequence, "msgInvalidCmdRsetSequence", "503 Bad sequence of commands. HELO should be the first";
    /// RSET with an argument.
    InvalidRsetArgument, "msgInvalidCmdRsetArg", "502 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT";
    /// RSET accepted.
    RsetReceived, "msgRsetReceived", "250 Ok";
    /// NOOP.
    NoopReceived, "msgNoopReceived", "250 Ok";
    /// A command line longer than [`LineScanner::LIMIT`](super::LineScanner::LIMIT) (RFC 5321 section 4.5.3.1.4).
    LineTooLong, "msgLineTooLong", "500 Line too long";
    /// RCPT beyond the number of recipients one transaction may have (RFC 5321 section 4.5.3.1.10).
    TooManyRecipients, "msgTooManyRecipients", "452 4.5.3 Too many recipients";
    /// A connection beyond the number of sessions, in all or from one address (RFC 5321 section 3.1).
    TooManySessions, "msgTooManySessions", "421 4.7.0 Too many sessions";
    /// A connection beyond the rate.
    ConnectRateExceeded, "msgConnectRateExceeded", "421 4.7.0 Too many connections, try again later";
    /// MAIL beyond the number of messages of one session.
    TooManyMessages, "msgTooManyMessages", "421 4.7.0 Too many messages in this session";
    /// MAIL beyond the rate.
    MailRateExceeded, "msgMailRateExceeded", "451 4.7.1 Too many messages, try again later";
    /// No memory left for another message (RFC 3463 X.3.1).
    InsufficientStorage, "msgInsufficientStorage", "452 4.3.1 Insufficient system storage";
    /// Anything but QUIT in a session that its greeting has refused (RFC 5321 section 3.1).
    SessionRefused, "msgSessionRefused", "503 5.5.1 Bad sequence of commands. The session was refused, QUIT is expected";
    /// The session timed out or the server is being stopped (RFC 5321 section 3.8).
    ServiceClosing, "msgServiceClosing", "421 Service closing transmission channel";
}
