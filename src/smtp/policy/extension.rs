//! What the reply to EHLO offers, and which parameters of MAIL and RCPT follow from it (RFC 5321 sections 2.2 and
//! 4.1.1.11): a client that believes the offer is not refused for it.

use crate::smtp::command::{Verb, starts_with_ignoring_case};
use crate::smtp::policy::reply::Reply;

/// The service extensions that a session was offered, by their keywords. Only a reply to EHLO of two lines or more
/// offers any: its first line is the greeting (RFC 5321 section 4.1.1.1).
///
/// ```
/// use smtpmock::smtp::{AddressRules, Extensions, Path, Reply};
///
/// let reply = Reply::new("250-mx.example\n250-SIZE 1000\n250 8BITMIME");
/// let offered = Extensions::offered(b"EHLO vm", &reply);
/// assert!(offered.include("size") && !offered.include("DSN"));
///
/// let line = b"MAIL FROM:<ann@example.com> SIZE=500 BODY=8BITMIME";
/// let path = Path::parse_reverse_with(line, AddressRules::Rfc5321, &offered);
/// assert_eq!(path.unwrap().mailbox(), b"ann@example.com");
/// assert!(Path::parse_reverse(line, AddressRules::Rfc5321).is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The reply that offers them; `None` where there is nothing in it.
    reply: Option<Reply>,
}

impl Extensions {
    /// Offered by this reply to this HELO or EHLO line.
    pub fn offered(line: &[u8], reply: &Reply) -> Self {
        let is_offer = reply.has_several_lines()
            && reply.wire().first() == Some(&b'2')
            && starts_with_ignoring_case(line, b"EHLO");
        Self { reply: is_offer.then(|| reply.clone()) }
    }

    /// The keyword is among them, in any case.
    pub fn include(&self, keyword: &str) -> bool {
        self.keywords().any(|offered| offered.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// No extension is offered.
    pub(in crate::smtp) fn are_none(&self) -> bool {
        self.reply.is_none()
    }

    /// `ehlo-keyword` in each line behind the first. Some servers have `AUTH=PLAIN` beside `AUTH PLAIN`.
    fn keywords(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.reply.iter().flat_map(|reply| reply.text().split(|&octet| octet == b'\n')).skip(1);
        lines.filter_map(|line| {
            line.get(4..)?.split(|octet| octet.is_ascii_whitespace() || *octet == b'=').next()
        })
    }

    /// The line of MAIL or RCPT without the parameters behind its path that are offered.
    pub(in crate::smtp) fn without_parameters<'l>(&self, line: &'l [u8], command: Verb) -> &'l [u8] {
        let mut rest = line;
        while let Some(space) = memchr::memrchr(b' ', rest)
            && self.take(&rest[space + 1..], command)
        {
            rest = rest[..space].trim_ascii_end();
        }
        rest
    }

    /// The value of a parameter in a line of MAIL or RCPT; `None` where it is not offered, or has none.
    pub(in crate::smtp) fn value_in<'l>(
        &self,
        line: &'l [u8],
        command: Verb,
        name: &str,
    ) -> Option<&'l [u8]> {
        let parameters = &line[self.without_parameters(line, command).len()..];
        parameters.split(|octet| *octet == b' ').find_map(|parameter| {
            let equals = memchr::memchr(b'=', parameter)?;
            parameter[..equals].eq_ignore_ascii_case(name.as_bytes()).then(|| &parameter[equals + 1..])
        })
    }

    /// `esmtp-param = esmtp-keyword ["=" esmtp-value]`, offered for this command. As RFC 6531 section 3.3 has it, a
    /// value may be UTF-8.
    fn take(&self, parameter: &[u8], command: Verb) -> bool {
        let (name, value) = match memchr::memchr(b'=', parameter) {
            Some(equals) => (&parameter[..equals], Some(&parameter[equals + 1..])),
            None => (parameter, None),
        };
        let is_graphic = |octet: &u8| octet.is_ascii_graphic() || !octet.is_ascii();
        if value.is_some_and(|value| value.is_empty() || !value.iter().all(is_graphic)) {
            return false;
        }
        let is_it = |known: &&Parameter| {
            name.eq_ignore_ascii_case(known.name.as_bytes())
                && known.command == command
                && self.include(known.keyword)
        };
        PARAMETERS.iter().filter(is_it).any(|known| known.value.allows(value)) || self.is_private(name)
    }

    /// Keywords that begin with X are agreed on locally (RFC 5321 section 2.2.2): so are parameters of the same name.
    fn is_private(&self, name: &[u8]) -> bool {
        starts_with_ignoring_case(name, b"X")
            && self.keywords().any(|offered| offered.eq_ignore_ascii_case(name))
    }
}

/// A parameter of MAIL or RCPT, and the keyword that makes it valid.
struct Parameter {
    name: &'static str,
    command: Verb,
    keyword: &'static str,
    value: Value,
}

/// What may stand behind the `=`.
enum Value {
    None,
    Any,
    /// Up to 20 digits (RFC 1870 section 4).
    Size,
    OneOf(&'static [&'static str]),
}

impl Value {
    fn allows(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::None, value) => value.is_none(),
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Size, Some(value)) => value.len() <= 20 && value.iter().all(u8::is_ascii_digit),
            (Self::OneOf(words), Some(value)) => {
                words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(value))
            }
        }
    }
}

const fn mail(name: &'static str, keyword: &'static str, value: Value) -> Parameter {
    Parameter { name, command: Verb::Mail, keyword, value }
}

const fn rcpt(name: &'static str, keyword: &'static str, value: Value) -> Parameter {
    Parameter { name, command: Verb::Rcpt, keyword, value }
}

/// Those of IANA's registry of SMTP service extensions that have parameters.
const PARAMETERS: &[Parameter] = &[
    mail("SIZE", "SIZE", Value::Size),                             // RFC 1870
    mail("BODY", "8BITMIME", Value::OneOf(&["7BIT", "8BITMIME"])), // RFC 6152
    mail("BODY", "BINARYMIME", Value::OneOf(&["7BIT", "8BITMIME", "BINARYMIME"])), // RFC 3030
    mail("SMTPUTF8", "SMTPUTF8", Value::None),                     // RFC 6531
    mail("RET", "DSN", Value::OneOf(&["FULL", "HDRS"])),           // RFC 3461
    mail("ENVID", "DSN", Value::Any),
    rcpt("NOTIFY", "DSN", Value::Any),
    rcpt("ORCPT", "DSN", Value::Any),
    mail("AUTH", "AUTH", Value::Any),             // RFC 4954
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

    fn offered(lines: &str) -> Extensions {
        Extensions::offered(b"ehlo vm", &Reply::new(format!("250-mx.example\n{lines}")))
    }

    #[test]
    fn keywords_stand_behind_the_first_line_of_a_positive_reply_to_ehlo() {
        let all = offered("250-SIZE 1000\n250-auth=PLAIN\n250 DSN");
        assert!(["SIZE", "size", "AUTH", "dsn"].into_iter().all(|keyword| all.include(keyword)));
        assert!(
            ["", "1000", "mx.example", "SIZ", "SIZES", "PLAIN"].into_iter().all(|word| !all.include(word))
        );
        let raw = Reply::new("raw:250-mx.example\n250-SIZE 1000\n250-DSN");
        assert!(Extensions::offered(b"EHLO vm", &raw).include("DSN"));
        let reply = Reply::new("250-mx.example\n250 SIZE");
        assert!(Extensions::offered(b"HELO vm", &reply).are_none());
        assert!(Extensions::offered(b"EHLO vm", &Reply::new("250 SIZE")).are_none());
        assert!(Extensions::offered(b"EHLO vm", &Reply::new("550-no\n550 SIZE")).are_none());
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
                assert!(offered.take(parameter.as_bytes(), *command), "{line}: {parameter}");
                assert!(!Extensions::default().take(parameter.as_bytes(), *command), "{parameter}");
            }
            assert!(!offered.take(wrong.as_bytes(), *command), "{line}: {wrong}");
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
            assert!(!all.take(parameter.as_bytes(), command), "{command:?} {parameter}");
        }
    }

    #[test]
    fn values_are_those_of_parameters_that_are_offered() {
        let offered = offered("250-SIZE\n250 DSN");
        let value = |line: &'static str, name| {
            offered.value_in(line.as_bytes(), Verb::Mail, name).map(|value| str::from_utf8(value).unwrap())
        };
        let line = "MAIL FROM:<ENVID=no@x> size=500 ENVID=a=b RET=HDRS";
        assert_eq!((value(line, "SIZE"), value(line, "ENVID")), (Some("500"), Some("a=b")));
        assert_eq!(value("MAIL FROM:<a@x> ENVID=1 BODY=7BIT", "ENVID"), None, "BODY is not offered");
        assert_eq!(Extensions::default().value_in(line.as_bytes(), Verb::Mail, "SIZE"), None);
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
            let found = offered.without_parameters(line.as_bytes(), Verb::Mail);
            assert_eq!(String::from_utf8_lossy(found), rest, "{line}");
        }
    }
}
