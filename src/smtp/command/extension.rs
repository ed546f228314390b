//! The extensions in the reply to EHLO, and the parameters of MAIL and RCPT that they allow (RFC 5321 sections 2.2 and
//! 4.1.1.11): a client that uses an offered extension is not refused for it.

use std::fmt;
use std::sync::Arc;

use crate::smtp::command::octets::Octets;
use crate::smtp::command::value::{self, Notify, OriginalRecipient};
use crate::smtp::command::{ArgumentError, Parameter, Parameters, Verb, starts_with_ignoring_case};

/// The service extensions offered to a session, by keyword. They are in the lines of the reply to EHLO after the first,
/// which is the greeting (RFC 5321 section 4.1.1.1). Cloning shares them.
///
/// ```
/// use smtpmock::smtp::{AddressRules, Command, Grammar, Reply, Request};
///
/// let reply = Reply::new("250-mx.example\n250-SIZE 1000\n250 8BITMIME");
/// let offered = reply.offers();
/// assert!(offered.include("size") && !offered.include("DSN"));
///
/// let line = b"MAIL FROM:<ann@example.com> SIZE=500 BODY=8BITMIME";
/// let request = Request::parse(line, Grammar { addresses: AddressRules::Rfc5321, offered });
/// let Command::Mail { path, parameters } = request.command else { panic!("{request:?}") };
/// assert_eq!(path.unwrap().mailbox(), b"ann@example.com");
/// assert_eq!(parameters.value("BODY"), Some(&b"8BITMIME"[..]));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// `None` if none is offered.
    keywords: Option<Arc<[Box<[u8]>]>>,
    /// Whether ENHANCEDSTATUSCODES is offered: needed for each reply.
    have_codes: bool,
    /// Whether CHUNKING is offered: needed for each chunk.
    have_chunking: bool,
    /// A bit for each row of [`PARAMETERS`] whose extension is offered: needed for each parameter.
    parameters: u32,
}

const _: () = assert!(PARAMETERS.len() <= u32::BITS as usize);

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keywords().map(Octets)).finish()
    }
}

impl Extensions {
    /// The extensions in a reply to EHLO: an `ehlo-keyword` in each line after the first of a positive one. Some
    /// servers send `AUTH=PLAIN` in addition to `AUTH PLAIN`.
    pub(in crate::smtp) fn in_reply(text: &[u8]) -> Self {
        if text.first() != Some(&b'2') {
            return Self::default();
        }
        let keywords = text.split(|&octet| octet == b'\n').skip(1).filter_map(|line| {
            line.get(4..)?.split(|octet| octet.is_ascii_whitespace() || *octet == b'=').next().map(Into::into)
        });
        let keywords: Arc<[Box<[u8]>]> = keywords.collect();
        let mut offered = Self { keywords: (!keywords.is_empty()).then_some(keywords), ..Self::default() };
        offered.have_codes = offered.include("ENHANCEDSTATUSCODES");
        offered.have_chunking = offered.include("CHUNKING");
        let known = PARAMETERS.iter().enumerate().filter(|(_, known)| offered.include(known.keyword));
        offered.parameters = known.fold(0, |bits, (row, _)| bits | 1 << row);
        offered
    }

    /// Whether the keyword is offered, ignoring case.
    pub fn include(&self, keyword: &str) -> bool {
        self.keywords().any(|offered| offered.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// Replies have enhanced status codes (RFC 2034).
    pub(in crate::smtp) fn have_codes(&self) -> bool {
        self.have_codes
    }

    /// Messages may come in chunks (RFC 3030).
    pub(in crate::smtp) fn have_chunking(&self) -> bool {
        self.have_chunking
    }

    /// No extension is offered.
    pub(in crate::smtp) fn are_none(&self) -> bool {
        self.keywords.is_none()
    }

    fn keywords(&self) -> impl Iterator<Item = &[u8]> {
        self.keywords.iter().flat_map(|keywords| keywords.iter()).map(|keyword| &**keyword)
    }

    /// The parameter is offered for this command, and its value may be valid: values with a complex grammar are only
    /// [checked](Self::judge) under Extended SMTP.
    pub(super) fn allow(&self, parameter: Parameter<'_>, command: Verb) -> bool {
        self.offered(parameter, command).any(|known| known.value.allows(parameter.value))
            || self.is_private(parameter.keyword)
    }

    /// Checks the parameters of a command by the grammar of each: all are offered, none is repeated and each value is
    /// valid (RFC 5321 section 4.1.1.11).
    ///
    /// # Errors
    /// [`ArgumentError::NotOffered`] or [`ArgumentError::Parameter`], for the first invalid one.
    pub(in crate::smtp) fn judge(
        &self,
        parameters: Parameters<'_>,
        command: Verb,
    ) -> Result<(), ArgumentError> {
        for (index, parameter) in parameters.iter().enumerate() {
            let mut offered = self.offered(parameter, command).peekable();
            let is_private = self.is_private(parameter.keyword);
            if offered.peek().is_none() && !is_private {
                return Err(ArgumentError::NotOffered);
            }
            let is_valid = is_private || offered.any(|known| known.value.is_valid(parameter.value, self));
            let is_repeated = parameters.iter().take(index).any(|other| other.is_called(parameter.keyword));
            if !is_valid || is_repeated {
                return Err(ArgumentError::Parameter);
            }
        }
        Ok(())
    }

    /// The entries of a parameter whose extension is offered.
    fn offered(
        &self,
        parameter: Parameter<'_>,
        command: Verb,
    ) -> impl Iterator<Item = &'static KnownParameter> {
        let is_offered = |row: usize| self.parameters & 1 << row != 0;
        PARAMETERS.iter().enumerate().filter_map(move |(row, known)| {
            let is_it =
                is_offered(row) && known.command == command && parameter.is_called(known.name.as_bytes());
            is_it.then_some(known)
        })
    }

    /// Keywords that begin with X are private (RFC 5321 section 2.2.2), and so are parameters of the same name.
    fn is_private(&self, name: &[u8]) -> bool {
        starts_with_ignoring_case(name, b"X")
            && self.keywords().any(|offered| offered.eq_ignore_ascii_case(name))
    }
}

/// A parameter of MAIL or RCPT, and the keyword that makes it valid.
struct KnownParameter {
    name: &'static str,
    command: Verb,
    keyword: &'static str,
    value: Value,
}

/// The grammar of a value.
enum Value {
    None,
    Any,
    Size,
    OneOf(&'static [&'static str]),
    /// xtext (RFC 3461 section 4.4).
    Envid,
    Notify,
    Orcpt,
    /// xtext (RFC 4954 section 5).
    Auth,
}

impl Value {
    fn allows(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::None, value) => value.is_none(),
            (_, None) => false,
            (Self::Any | Self::Envid | Self::Notify | Self::Orcpt | Self::Auth, Some(_)) => true,
            (Self::Size, Some(value)) => value::is_size(value),
            (Self::OneOf(words), Some(value)) => {
                words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(value))
            }
        }
    }
}

impl Value {
    /// Valid by its grammar, given the offered extensions.
    fn is_valid(&self, value: Option<&[u8]>, offered: &Extensions) -> bool {
        match (self, value) {
            (Self::Envid, Some(value)) => value::is_envid(value),
            (Self::Notify, Some(value)) => Notify::parse(value).is_some(),
            (Self::Orcpt, Some(value)) => OriginalRecipient::parse(value)
                .is_some_and(|recipient| recipient.is_ascii() || offered.include("SMTPUTF8")),
            (Self::Auth, Some(value)) => value == b"<>" || value::is_auth(value),
            (_, value) => self.allows(value),
        }
    }
}

const fn mail(name: &'static str, keyword: &'static str, value: Value) -> KnownParameter {
    KnownParameter { name, command: Verb::Mail, keyword, value }
}

const fn rcpt(name: &'static str, keyword: &'static str, value: Value) -> KnownParameter {
    KnownParameter { name, command: Verb::Rcpt, keyword, value }
}

/// The parameters of IANA's registry of SMTP service extensions.
const PARAMETERS: &[KnownParameter] = &[
    mail("SIZE", "SIZE", Value::Size),                             // RFC 1870
    mail("BODY", "8BITMIME", Value::OneOf(&["7BIT", "8BITMIME"])), // RFC 6152
    mail("BODY", "BINARYMIME", Value::OneOf(&["7BIT", "8BITMIME", "BINARYMIME"])), // RFC 3030
    mail("SMTPUTF8", "SMTPUTF8", Value::None),                     // RFC 6531
    mail("RET", "DSN", Value::OneOf(&["FULL", "HDRS"])),           // RFC 3461
    mail("ENVID", "DSN", Value::Envid),
    rcpt("NOTIFY", "DSN", Value::Notify),
    rcpt("ORCPT", "DSN", Value::Orcpt),
    mail("AUTH", "AUTH", Value::Auth),            // RFC 4954
    mail("BY", "DELIVERBY", Value::Any),          // RFC 2852
    mail("HOLDFOR", "FUTURERELEASE", Value::Any), // RFC 4865
    mail("HOLDUNTIL", "FUTURERELEASE", Value::Any),
    mail("MT-PRIORITY", "MT-PRIORITY", Value::Any), // RFC 6710
    mail("MTRK", "MTRK", Value::Any),               // RFC 3885
    mail("SOLICIT", "NO-SOLICITING", Value::Any),   // RFC 3865
    mail("SUBMITTER", "SUBMITTER", Value::Any),     // RFC 4405
    mail("REQUIRETLS", "REQUIRETLS", Value::None),  // RFC 8689
    mail("CONPERM", "CONPERM", Value::None),        // RFC 4141
    rcpt("CONNEG", "CONNEG", Value::None),
    rcpt("RRVS", "RRVS", Value::Any), // RFC 7293
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::Parameters;

    fn offered(lines: &str) -> Extensions {
        Extensions::in_reply(format!("250-mx.example\n{lines}").as_bytes())
    }

    fn takes(offered: &Extensions, parameter: &str, command: Verb) -> bool {
        Parameter::parse(parameter.as_bytes()).is_some_and(|parameter| offered.allow(parameter, command))
    }

    #[test]
    fn keywords_stand_behind_the_first_line_of_a_positive_reply_to_ehlo() {
        let all = offered("250-SIZE 1000\n250-auth=PLAIN\n250 DSN");
        assert!(["SIZE", "size", "AUTH", "dsn"].into_iter().all(|keyword| all.include(keyword)));
        assert!(
            ["", "1000", "mx.example", "SIZ", "SIZES", "PLAIN"].into_iter().all(|word| !all.include(word))
        );
        assert!(offered("250-SIZE 1000\n250-DSN").include("DSN"));
        assert!(Extensions::in_reply(b"250 SIZE").are_none());
        assert!(Extensions::in_reply(b"550-no\n550 SIZE").are_none());
    }

    #[test]
    fn parameters_are_valid_for_their_keyword_and_command_only() {
        const LINES: &[(&str, Verb, &str, &[&str])] = &[
            ("SIZE 1000", Verb::Mail, "SIZE", &["SIZE=0", "size=12345678901234567890"]),
            ("8BITMIME", Verb::Mail, "BODY", &["BODY=7BIT", "BODY=8bitmime"]),
            ("BINARYMIME", Verb::Mail, "BODY", &["BODY=BINARYMIME"]),
            ("SMTPUTF8", Verb::Mail, "SMTPUTF8=1", &["SMTPUTF8"]),
            ("DSN", Verb::Mail, "RET=NONE", &["RET=HDRS", "RET=FULL", "ENVID=QQ314159"]),
            ("DSN", Verb::Rcpt, "NOTIFY=", &["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob@Example.COM"]),
            ("AUTH PLAIN LOGIN", Verb::Mail, "AUTH", &["AUTH=<>", "AUTH=ann@example.com"]),
            ("DELIVERBY", Verb::Mail, "BY", &["BY=120;R"]),
            ("REQUIRETLS", Verb::Mail, "REQUIRETLS=1", &["REQUIRETLS"]),
            ("XCLIENT NAME", Verb::Mail, "XCLIENTS=1", &["XCLIENT=a", "xclient"]),
        ];
        for (line, command, wrong, right) in LINES {
            let offered = offered(&format!("250 {line}"));
            for parameter in *right {
                assert!(takes(&offered, parameter, *command), "{line}: {parameter}");
                assert!(!takes(&Extensions::default(), parameter, *command), "{parameter}");
            }
            assert!(!takes(&offered, wrong, *command), "{line}: {wrong}");
        }
        let all = offered("250-SIZE\n250-8BITMIME\n250 DSN");
        for (command, parameter) in [
            (Verb::Rcpt, "SIZE=1"),
            (Verb::Rcpt, "BODY=8BITMIME"),
            (Verb::Rcpt, "RET=FULL"),
            (Verb::Mail, "NOTIFY=NEVER"),
            (Verb::Mail, "SIZE=abc"),
            (Verb::Mail, "SIZE="),
            (Verb::Mail, "SIZE"),
            (Verb::Mail, "SIZE=123456789012345678901"),
            (Verb::Mail, "BODY=BINARYMIME"),
            (Verb::Mail, "ENVID=a\tb"),
            (Verb::Mail, "=1"),
            (Verb::Mail, ""),
        ] {
            assert!(!takes(&all, parameter, command), "{command:?} {parameter}");
        }
    }

    #[test]
    fn values_are_those_of_parameters_that_are_offered() {
        let offered = offered("250-SIZE\n250 DSN");
        let value = |line: &'static str, name| {
            let is_one = |parameter: Parameter<'_>| offered.allow(parameter, Verb::Mail);
            let (_, parameters) = Parameters::split_off(line.as_bytes(), is_one);
            parameters.value(name).map(|value| str::from_utf8(value).unwrap())
        };
        let line = "MAIL FROM:<ENVID=no@x> size=500 ENVID=a=b RET=HDRS";
        assert_eq!((value(line, "SIZE"), value(line, "ENVID")), (Some("500"), Some("a=b")));
        assert_eq!(value("MAIL FROM:<a@x> ENVID=1 BODY=7BIT", "ENVID"), None, "BODY is not offered");
    }

    #[test]
    fn parameters_are_taken_off_from_the_end_and_no_others() {
        let offered = offered("250-SIZE\n250 AUTH PLAIN");
        for (line, rest) in [
            ("MAIL FROM:<a@b>", "MAIL FROM:<a@b>"),
            ("MAIL FROM:<a@b> SIZE=1", "MAIL FROM:<a@b>"),
            ("MAIL FROM:<a@b>  AUTH=<>  SIZE=1", "MAIL FROM:<a@b>"),
            ("MAIL FROM:a@b SIZE=1", "MAIL FROM:a@b"),
            ("MAIL FROM:<a@b> RET=FULL SIZE=1", "MAIL FROM:<a@b> RET=FULL"),
            ("MAIL FROM:<a@b> SIZE=1 RET=FULL", "MAIL FROM:<a@b> SIZE=1 RET=FULL"),
            ("MAIL FROM:<\"a SIZE=1\"@b>", "MAIL FROM:<\"a SIZE=1\"@b>"),
        ] {
            let is_one = |parameter: Parameter<'_>| offered.allow(parameter, Verb::Mail);
            let (found, _) = Parameters::split_off(line.as_bytes(), is_one);
            assert_eq!(String::from_utf8_lossy(found), rest, "{line}");
        }
    }
}
