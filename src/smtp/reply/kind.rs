//! The kinds of replies.

/// Declares [`ReplyKind`] together with each kind's go-smtp-mock flag and default text.
macro_rules! reply_kinds {
    ($($(#[$doc:meta])* $kind:ident, $flag:literal, $text:literal;)*) => {
        /// A reply of the server; each text can be configured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum ReplyKind {
            $($(#[$doc])* #[doc = ""] #[doc = concat!("Default: `", $text, "`")] $kind,)*
        }

        impl ReplyKind {
            /// All kinds, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The setting's name on go-smtp-mock's command line (`msgGreeting` …); other replies have a name in the
            /// same style.
            pub const fn flag(self) -> &'static str {
                match self { $(Self::$kind => $flag,)* }
            }

            /// The setter of [`Config`](crate::Config) for its text.
            pub(crate) const fn setting(self) -> &'static str {
                match self { $(Self::$kind => concat!("reply(ReplyKind::", stringify!($kind), ")"),)* }
            }

            /// The text unless another is configured, without CRLF.
            pub const fn default_text(self) -> &'static str {
                match self { $(Self::$kind => $text,)* }
            }
        }
    };
}

reply_kinds! {
    /// The greeting of a new connection, and after XCLIENT.
    Greeting, "msgGreeting", "220 Welcome";
    /// An unknown command. Under Extended SMTP the default text has `{{commands}}` in place of the list.
    InvalidCommand, "msgInvalidCmd", "502 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT";
    /// QUIT.
    Quit, "msgQuitCmd", "221 Closing connection";
    /// Accepted but never sent, as in go-smtp-mock.
    InvalidHeloSequence, "msgInvalidCmdHeloSequence", "503 Bad sequence of commands. HELO should be the first";
    /// HELO or EHLO with an argument that is neither a domain nor an address literal.
    InvalidHeloArgument, "msgInvalidCmdHeloArg", "501 HELO requires domain address or valid address literal";
    /// HELO or EHLO with a blacklisted domain.
    HeloBlacklisted, "msgHeloBlacklistedDomain", "421 Service not available";
    /// HELO accepted, and EHLO unless [`EhloReceived`](Self::EhloReceived) is set.
    HeloReceived, "msgHeloReceived", "250 Received";
    /// EHLO accepted. The default is [`HeloReceived`](Self::HeloReceived).
    EhloReceived, "msgEhloReceived", "250 Received";
    /// LHLO accepted (RFC 2033 section 4.1). The default is the reply to EHLO if that is set; otherwise it offers the
    /// extensions of Extended SMTP.
    LhloReceived, "msgLhloReceived", "250 Received";
    /// HELO or EHLO in LMTP, which requires LHLO (RFC 2033 section 4.1).
    HeloInLmtp, "msgHeloInLmtp", "500 5.5.1 LMTP begins with LHLO";
    /// MAIL before HELO.
    InvalidMailSequence, "msgInvalidCmdMailfromSequence", "503 Bad sequence of commands. MAIL FROM should be used after HELO";
    /// MAIL with an invalid reverse-path.
    InvalidMailArgument, "msgInvalidCmdMailfromArg", "501 MAIL FROM requires valid email address";
    /// MAIL with a blacklisted reverse-path.
    MailBlacklisted, "msgMailfromBlacklistedEmail", "421 Service not available";
    /// MAIL accepted.
    MailReceived, "msgMailfromReceived", "250 Received";
    /// RCPT before MAIL.
    InvalidRcptSequence, "msgInvalidCmdRcpttoSequence", "503 Bad sequence of commands. RCPT TO should be used after MAIL FROM";
    /// RCPT with an invalid forward-path.
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
    /// The message exceeds the size limit, or under Extended SMTP the size declared in MAIL.
    MessageTooBig, "msgMsgSizeIsTooBig", "552 Message exceeded max size of {{limit}} bytes";
    /// The message was accepted.
    MessageReceived, "msgMsgReceived", "250 Received";
    /// RSET before HELO.
    InvalidRsetSequence, "msgInvalidCmdRsetSequence", "503 Bad sequence of commands. HELO should be the first";
    /// RSET with an argument. The default text is that of [`InvalidCommand`](Self::InvalidCommand).
    InvalidRsetArgument, "msgInvalidCmdRsetArg", "502 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT";
    /// RSET accepted.
    RsetReceived, "msgRsetReceived", "250 Ok";
    /// NOOP.
    NoopReceived, "msgNoopReceived", "250 Ok";
    /// Under Extended SMTP and in LMTP: MAIL or RCPT with a parameter that was not offered (RFC 5321 section 4.1.1.11).
    ParameterNotOffered, "msgParameterNotOffered", "555 Parameter not recognized or not offered";
    /// Under Extended SMTP and in LMTP: MAIL or RCPT with a parameter that is repeated or has an invalid value.
    InvalidParameter, "msgInvalidParameter", "501 Syntax error in parameters";
    /// Under Extended SMTP and strict rules for addresses: a path in UTF-8 without SMTPUTF8 (RFC 6531 section 3.5).
    Utf8NotAllowed, "msgUtf8NotAllowed", "553 Address in UTF-8 requires SMTPUTF8";
    /// BDAT: a chunk that is not the last was received (RFC 3030 section 2).
    ChunkReceived, "msgBdatReceived", "250 Chunk received";
    /// BDAT before an accepted RCPT.
    InvalidBdatSequence, "msgInvalidCmdBdatSequence", "503 Bad sequence of commands. BDAT should be used after RCPT TO";
    /// BDAT without a valid number of octets, or with a second word other than LAST. The session is closed: the end of
    /// the chunk, and so the next command, is unknown.
    InvalidBdatArgument, "msgInvalidCmdBdatArg", "501 BDAT requires the number of octets in its chunk, and LAST or nothing behind it";
    /// BDAT, DATA or RCPT after a refused chunk of the same message.
    ChunkAfterRefusal, "msgBdatAfterRefusal", "503 Bad sequence of commands. A chunk was refused: RSET or MAIL FROM should follow";
    /// DATA or RCPT after BDAT, and DATA after MAIL with `BODY=BINARYMIME` (RFC 3030 sections 2 and 3).
    BdatExpected, "msgBdatExpected", "503 Bad sequence of commands. BDAT should be used after BDAT or BODY=BINARYMIME";
    /// Under Extended SMTP and in LMTP: VRFY with an argument (RFC 5321 section 3.5.3).
    VrfyReceived, "msgVrfyReceived", "252 Cannot verify the user, but will accept the message and attempt delivery";
    /// Under Extended SMTP and in LMTP: EXPN with an argument.
    ExpnReceived, "msgExpnReceived", "502 EXPN is not implemented";
    /// Under Extended SMTP and in LMTP: HELP.
    HelpReceived, "msgHelpReceived", "214 Commands: {{commands}}";
    /// Under Extended SMTP and in LMTP: VRFY or EXPN without an argument.
    MissingArgument, "msgMissingArgument", "501 Syntax error: an argument is missing";
    /// XCLIENT of a peer that is not trusted.
    XclientNotAllowed, "msgXclientNotAllowed", "550 Insufficient authorization";
    /// XCLIENT within a mail transaction.
    InvalidXclientSequence, "msgInvalidCmdXclientSequence", "503 Bad sequence of commands. XCLIENT is not possible within a mail transaction";
    /// XCLIENT with an attribute that is unknown, repeated or has an invalid value.
    InvalidXclientArgument, "msgInvalidCmdXclientArg", "501 Bad XCLIENT attribute";
    /// AUTH: the client has authenticated (RFC 4954 section 6).
    AuthSucceeded, "msgAuthSucceeded", "235 Authentication successful";
    /// AUTH: the credentials are wrong.
    AuthFailed, "msgAuthFailed", "535 Authentication credentials invalid";
    /// AUTH with a mechanism that is not offered.
    MechanismNotOffered, "msgMechanismNotOffered", "504 Authentication mechanism not offered";
    /// AUTH before EHLO, where it was not offered, in a mail transaction, or after a successful AUTH.
    InvalidAuthSequence, "msgInvalidCmdAuthSequence", "503 Bad sequence of commands. AUTH should be used once, after EHLO and before MAIL FROM";
    /// AUTH without a mechanism, or with more than an initial response after it.
    InvalidAuthArgument, "msgInvalidCmdAuthArg", "501 AUTH requires a mechanism, and at most an initial response behind it";
    /// A response that is not base64, or not valid in the mechanism.
    InvalidAuthResponse, "msgInvalidAuthResponse", "501 Authentication response can't be decoded";
    /// The client has cancelled an exchange with `*`.
    AuthCancelled, "msgAuthCancelled", "501 Authentication cancelled";
    /// A line of an exchange that is longer than 12,288 octets.
    AuthLineTooLong, "msgAuthLineTooLong", "500 Authentication exchange line is too long";
    /// MAIL in an unauthenticated session, where authentication is required.
    AuthRequired, "msgAuthRequired", "530 Authentication required";
    /// PLAIN, LOGIN, XOAUTH2 or OAUTHBEARER before TLS, where secrets in clear text are refused.
    ClearAuthRefused, "msgClearAuthRefused", "538 Encryption required for requested authentication mechanism";
    /// STARTTLS accepted: the handshake follows (RFC 3207 section 4).
    StarttlsReady, "msgStarttlsReady", "220 Ready to start TLS";
    /// STARTTLS before EHLO, where it was not offered, or within TLS.
    InvalidStarttlsSequence, "msgInvalidCmdStarttlsSequence", "503 Bad sequence of commands. STARTTLS should be used once, after EHLO";
    /// STARTTLS with an argument.
    InvalidStarttlsArgument, "msgInvalidCmdStarttlsArg", "501 Syntax error: STARTTLS allows no argument";
    /// Any command but EHLO, LHLO, NOOP, QUIT and STARTTLS before TLS, where TLS is required (RFC 3207 section 4).
    TlsRequired, "msgTlsRequired", "530 Must issue a STARTTLS command first";
    /// A command line longer than [`LineScanner::LIMIT`](crate::smtp::LineScanner::LIMIT) (RFC 5321 section 4.5.3.1.4).
    LineTooLong, "msgLineTooLong", "500 Line too long";
    /// RCPT beyond the recipients that one transaction may have (RFC 5321 section 4.5.3.1.10).
    TooManyRecipients, "msgTooManyRecipients", "452 4.5.3 Too many recipients";
    /// A connection beyond the number of sessions, total or of one address (RFC 5321 section 3.1).
    TooManySessions, "msgTooManySessions", "421 4.7.0 Too many sessions";
    /// A connection beyond the rate limit.
    ConnectRateExceeded, "msgConnectRateExceeded", "421 4.7.0 Too many connections, try again later";
    /// MAIL beyond the messages that one session may send.
    TooManyMessages, "msgTooManyMessages", "421 4.7.0 Too many messages in this session";
    /// MAIL beyond the rate limit.
    MailRateExceeded, "msgMailRateExceeded", "451 4.7.1 Too many messages, try again later";
    /// No memory left for another message (RFC 3463 X.3.1).
    InsufficientStorage, "msgInsufficientStorage", "452 4.3.1 Insufficient system storage";
    /// Any command except QUIT in a session that its greeting has refused (RFC 5321 section 3.1).
    SessionRefused, "msgSessionRefused", "503 5.5.1 Bad sequence of commands. The session was refused, QUIT is expected";
    /// The session timed out or the server is being stopped (RFC 5321 section 3.8).
    ServiceClosing, "msgServiceClosing", "421 Service closing transmission channel";
}

impl ReplyKind {
    /// The enhanced status code (RFC 3463, RFC 5248) of its default text, in sessions where these are offered. The
    /// greeting, the replies to HELO and EHLO and 3yz replies have none (RFC 2034 section 4), and some default texts
    /// include theirs in any session.
    pub const fn enhanced_code(self) -> Option<&'static str> {
        Some(match self {
            Self::Quit
            | Self::MessageReceived
            | Self::ChunkReceived
            | Self::RsetReceived
            | Self::NoopReceived
            | Self::StarttlsReady
            | Self::HelpReceived => "2.0.0",
            Self::VrfyReceived => "2.5.0",
            Self::AuthSucceeded => "2.7.0",
            Self::AuthCancelled => "5.0.0",
            Self::AuthLineTooLong => "5.5.6",
            Self::AuthRequired | Self::TlsRequired => "5.7.0",
            Self::ClearAuthRefused => "5.7.11",
            Self::AuthFailed => "5.7.8",
            Self::MailReceived => "2.1.0",
            Self::RcptReceived => "2.1.5",
            Self::MailBlacklisted | Self::RcptBlacklisted | Self::ServiceClosing => "4.3.2",
            Self::XclientNotAllowed => "5.7.0",
            Self::RcptNotRegistered => "5.1.1",
            Self::InvalidRcptArgument => "5.1.3",
            Self::InvalidMailArgument => "5.1.7",
            Self::MessageTooBig => "5.3.4",
            Self::InvalidCommand
            | Self::ExpnReceived
            | Self::InvalidMailSequence
            | Self::InvalidRcptSequence
            | Self::InvalidDataSequence
            | Self::InvalidBdatSequence
            | Self::ChunkAfterRefusal
            | Self::BdatExpected
            | Self::InvalidAuthSequence
            | Self::InvalidStarttlsSequence
            | Self::InvalidRsetSequence
            | Self::InvalidXclientSequence => "5.5.1",
            Self::LineTooLong | Self::InvalidAuthResponse => "5.5.2",
            Self::InvalidRsetArgument
            | Self::InvalidBdatArgument
            | Self::MissingArgument
            | Self::InvalidAuthArgument
            | Self::InvalidStarttlsArgument
            | Self::MechanismNotOffered
            | Self::ParameterNotOffered
            | Self::InvalidXclientArgument
            | Self::InvalidParameter => "5.5.4",
            Self::Utf8NotAllowed => "5.6.7",
            Self::Greeting
            | Self::InvalidHeloSequence
            | Self::InvalidHeloArgument
            | Self::HeloBlacklisted
            | Self::HeloReceived
            | Self::EhloReceived
            | Self::LhloReceived
            | Self::HeloInLmtp
            | Self::DataReceived
            | Self::TooManyRecipients
            | Self::TooManySessions
            | Self::ConnectRateExceeded
            | Self::TooManyMessages
            | Self::MailRateExceeded
            | Self::InsufficientStorage
            | Self::SessionRefused => return None,
        })
    }
}
