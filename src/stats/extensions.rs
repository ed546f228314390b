//! Clients' use of the extensions that they were offered.

use super::catalogue::figures;

figures! {
    /// Clients' use of extensions. Each count is of sessions, which count once.
    ///
    /// Use of extensions that were not offered is only counted under Extended SMTP and in LMTP, and pipelining only
    /// after an accepted EHLO: otherwise the server offers nothing to anybody.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct ExtensionStats {
        /// The client sent a command before the reply to the previous one, or to a message.
        pub pipelining: u64 = ["extensions.pipelining", Number, "sessions with a command sent before the last reply"],
        /// A BDAT was accepted.
        pub chunking: u64 = ["extensions.chunking", Number, "sessions with an accepted BDAT"],
        /// MAIL with SMTPUTF8 was accepted.
        pub smtputf8: u64 = ["extensions.smtputf8", Number, "sessions with an accepted SMTPUTF8"],
        /// RET, ENVID, NOTIFY or ORCPT was accepted.
        pub dsn: u64 = ["extensions.dsn", Number, "sessions with an accepted RET, ENVID, NOTIFY or ORCPT"],
        /// MAIL or RCPT had a parameter of an extension that was not offered (RFC 5321 section 4.1.1.11).
        pub parameters_not_offered: u64 =
            ["extensions.parameters_not_offered", Number, "sessions with a parameter that was not offered"],
        /// The client pipelined although the reply to its EHLO did not offer it (RFC 2920 section 3.1).
        pub pipelining_not_offered: u64 =
            ["extensions.pipelining_not_offered", Number, "sessions that pipelined without the offer"],
        /// Where pipelining was offered, the client did not wait for the reply to a command that must be the last of
        /// its group: EHLO, DATA, VRFY, EXPN or NOOP (RFC 2920 section 3.1), or AUTH, except PLAIN, EXTERNAL and
        /// ANONYMOUS with an initial response (RFC 4954 section 4).
        pub group_not_ended: u64 =
            ["extensions.group_not_ended", Number, "sessions with more behind a command that must end a group"],
        /// The client sent VRFY or EXPN three times or more (RFC 5321 section 7.3).
        pub inquiries: u64 = ["extensions.inquiries", Number, "sessions with three VRFY or EXPN or more"],
    }
}
