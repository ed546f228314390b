//! ESMTP parameters: `esmtp-param = esmtp-keyword ["=" esmtp-value]` (RFC 5321 section 4.1.2).

use std::fmt;

use crate::smtp::command::octets::Octets;

/// One parameter of MAIL or RCPT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The keyword as sent; compared ignoring case.
    pub keyword: &'a [u8],
    /// The value after the `=`; `None` without one.
    pub value: Option<&'a [u8]>,
}

impl<'a> Parameter<'a> {
    /// Compares the keyword, ignoring case.
    pub(in crate::smtp) fn is_called(&self, keyword: &[u8]) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    /// `None` if invalid. A value may be UTF-8 (RFC 6531 section 3.3); `=` in a value and `_` in a keyword are accepted
    /// too.
    pub(super) fn parse(word: &'a [u8]) -> Option<Self> {
        let parameter = Self::of_word(word);
        let Self { keyword, value } = parameter;
        let is_graphic = |octet: &u8| octet.is_ascii_graphic() || !octet.is_ascii();
        let is_value = value.is_none_or(|value| !value.is_empty() && value.iter().all(is_graphic));
        (Self::is_keyword(keyword) && is_value).then_some(parameter)
    }

    /// Parses a word that is known to be a parameter.
    fn of_word(word: &'a [u8]) -> Self {
        match memchr::memchr(b'=', word) {
            Some(equals) => Self { keyword: &word[..equals], value: Some(&word[equals + 1..]) },
            None => Self { keyword: word, value: None },
        }
    }

    pub(in crate::smtp) fn is_keyword(word: &[u8]) -> bool {
        word.first().is_some_and(u8::is_ascii_alphanumeric)
            && word.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    }
}

impl fmt::Debug for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keyword, value } = self;
        let value = value.map(Octets);
        f.debug_struct("Parameter").field("keyword", &Octets(keyword)).field("value", &value).finish()
    }
}

/// The parameters of MAIL or RCPT, in order.
///
/// ```
/// use smtpmock::smtp::{AddressRules, ArgumentError, Command, Extensions, Grammar, Request};
///
/// let grammar = Grammar { addresses: AddressRules::Rfc5321, offered: &Extensions::default() };
/// let request = Request::parse(b"MAIL FROM:<ann@example.com> SIZE=500 SMTPUTF8", grammar);
/// let Command::Mail { path, parameters } = request.command else { panic!("{request:?}") };
/// assert_eq!(path, Err(ArgumentError::Parameter), "none was offered");
/// assert_eq!(parameters.value("size"), Some(&b"500"[..]));
/// assert_eq!(parameters.iter().count(), 2);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The parameters, separated by spaces.
    words: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// Splits off the last words of an argument that `is_one` accepts. Also returns the text before them.
    pub(super) fn split_off(argument: &'a [u8], is_one: impl Fn(Parameter<'_>) -> bool) -> (&'a [u8], Self) {
        let mut front = argument;
        while let Some(space) = memchr::memrchr(b' ', front)
            && Parameter::parse(&front[space + 1..]).is_some_and(&is_one)
        {
            front = front[..space].trim_ascii_end();
        }
        (front, Self { words: &argument[front.len()..] })
    }

    /// The parameters in these words.
    pub(in crate::smtp) fn of_words(words: &'a [u8]) -> Self {
        Self { words }
    }

    /// The words of the parameters; empty without any.
    pub(in crate::smtp) fn words(self) -> &'a [u8] {
        self.words
    }

    /// Iterates over the parameters.
    pub fn iter(self) -> impl Iterator<Item = Parameter<'a>> {
        let words = self.words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.map(Parameter::of_word)
    }

    /// The value of the first parameter with this keyword, ignoring case, that has one.
    pub fn value(self, keyword: &str) -> Option<&'a [u8]> {
        let is_it = |parameter: &Parameter<'_>| parameter.is_called(keyword.as_bytes());
        self.iter().filter(is_it).find_map(|parameter| parameter.value)
    }
}

/// The parameters of a command, or of a mail transaction.
#[derive(Clone, Copy, Default)]
pub(in crate::smtp) struct GivenParameters<'a> {
    /// Those of the command, or of MAIL.
    pub(in crate::smtp) first: Parameters<'a>,
    /// Two lines for each recipient: its path and its parameters.
    pub(in crate::smtp) recipients: &'a [u8],
}

impl<'a> From<Parameters<'a>> for GivenParameters<'a> {
    fn from(first: Parameters<'a>) -> Self {
        Self { first, recipients: &[] }
    }
}

impl<'a> GivenParameters<'a> {
    pub(in crate::smtp) fn iter(self) -> impl Iterator<Item = Parameter<'a>> {
        let lines = self.recipients.split(|&octet| octet == b'\n');
        self.first.iter().chain(lines.skip(1).step_by(2).flat_map(|words| Parameters::of_words(words).iter()))
    }
}

impl fmt::Debug for GivenParameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::smtp::command::{AddressRules, ArgumentError, Command, Grammar, Request};
    use crate::smtp::reply::Reply;

    /// The mailbox of a MAIL line, or its error, and the parameters.
    fn parsed(line: &str, rules: AddressRules, offer: &str) -> (Result<String, ArgumentError>, Vec<String>) {
        let reply = Reply::new(format!("250-mx.example\n{offer}"));
        let grammar = Grammar { addresses: rules, offered: reply.offers() };
        let request = Request::parse(line.as_bytes(), grammar);
        let Command::Mail { path, parameters } = request.command else { panic!("{request:?}") };
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let shown = parameters.iter().map(|parameter| match parameter.value {
            Some(value) => format!("{}: {}", text(parameter.keyword), text(value)),
            None => text(parameter.keyword),
        });
        (path.map(|path| text(path.mailbox())), shown.collect())
    }

    #[test]
    fn each_parameter_is_a_keyword_and_a_value_whether_it_is_accepted_or_not() {
        use AddressRules::{Any, Lenient, Rfc5321};
        let cases = [
            ("MAIL FROM:<a@b.example> SIZE=1", Lenient, "250 SIZE", Ok("a@b.example"), &["SIZE: 1"][..]),
            (
                "MAIL FROM:<a@b.example>  size=1  SMTPUTF8",
                Rfc5321,
                "250-SIZE\n250 SMTPUTF8",
                Ok("a@b.example"),
                &["size: 1", "SMTPUTF8"],
            ),
            (
                "MAIL FROM:<a@b.example> SIZE=1 RET=FULL",
                Rfc5321,
                "250 SIZE",
                Err(ArgumentError::Parameter),
                &["SIZE: 1", "RET: FULL"],
            ),
            (
                "MAIL FROM:<a@b.example> SIZE=x",
                Lenient,
                "250 SIZE",
                Err(ArgumentError::Parameter),
                &["SIZE: x"],
            ),
            ("MAIL FROM:<a@> SIZE=1", Lenient, "250 SIZE", Err(ArgumentError::Path), &[]),
            ("MAIL FROM:<a@b.example> =1", Lenient, "250 SIZE", Err(ArgumentError::Parameter), &[]),
            ("MAIL FROM:<ä@b.example> RET=FULL", Rfc5321, "250 SIZE", Err(ArgumentError::Utf8), &[]),
            ("MAIL FROM:<\"a SIZE=1\"@b.example>", Lenient, "250 SIZE", Ok("\"a SIZE=1\"@b.example"), &[]),
            ("MAIL FROM:<a@b> RET=FULL SIZE=1", Any, "250 SIZE", Ok("a@b"), &["SIZE: 1"]),
            ("MAIL FROM:a@b SIZE=1", Any, "250 DSN", Ok("a@b SIZE=1"), &[]),
        ];
        for (line, rules, offer, path, parameters) in cases {
            let expected =
                (path.map(str::to_owned), parameters.iter().map(|&text| text.to_owned()).collect());
            assert_eq!(parsed(line, rules, offer), expected, "{line}");
        }
    }
}
