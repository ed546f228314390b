//! Rules as text: `rcpt to=*@slow.example times=3 delay=2s`. A printed rule parses to the same rule.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use super::cidr::Cidr;
use super::contradiction::Contradiction;
use super::delay::Delay;
use super::glob::Glob;
use super::grammar::{Fault, GrammarError};
use super::handshake::{Alert, TlsVersion, UnknownVersion, WrongCertificate};
use super::keyword::Keyword;
use super::offer::Offer;
use super::rule::{Action, Drop, Key, Ordinals, Rule};
use super::units::{A_CHANCE, A_DURATION, A_SIZE, Chance, Size, Span, parse_duration, parse_size};
use crate::smtp::reply::{Reply, Stage};

/// Longest text of a rule, in octets: more than anyone writes by hand.
const MAX_TEXT: usize = 16 * 1024;

/// The word for every stage.
const ANY: &str = "any";

const DROPS: &[(&str, Action)] = &[
    ("fin", Action::DropBefore(Drop::Fin)),
    ("rst", Action::DropBefore(Drop::Rst)),
    ("fin-after", Action::DropAfter(Drop::Fin)),
    ("rst-after", Action::DropAfter(Drop::Rst)),
];

const A_COUNT: &str = "a whole number from 1";
const AN_ORDINAL: &str = "an ordinal from 1 or a range of them, like 3, 3..5 or 3..";
const SEVERAL_ENDINGS: &str = "only one of accept, close, drop=, silent, stall, cut=, alert= and garbage: the connection ends only once";

impl FromStr for Rule {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let missing = |phrase| GrammarError::expected(text, text.len()..text.len(), phrase);
        if text.len() > MAX_TEXT {
            return Err(GrammarError::expected("", 0..0, "a rule of at most 16 KiB"));
        }
        let terms = split(text)?;
        let Some((stage, terms)) = terms.split_first() else {
            return Err(missing("a stage, like rcpt, and what to do there, like delay=2s"));
        };
        let mut rule = Rule { stage: read_stage(text, stage)?, ..Rule::anywhere() };
        let mut seen: Vec<(Keyword, &Term<'_>)> = Vec::new();
        for term in terms {
            let Some(keyword) = Keyword::named(term.name) else {
                let fault = Fault::unknown("condition or action", term.name, Keyword::WORDS);
                return Err(GrammarError::new(text, term.name_span(), fault));
            };
            let is_same = |(other, seen): &(Keyword, &Term<'_>)| {
                *other == keyword
                    && (keyword != Keyword::Parameter || seen.name.eq_ignore_ascii_case(term.name))
            };
            if seen.iter().any(is_same) {
                let fault = Fault::Repeated(term.name.to_owned().into());
                return Err(GrammarError::new(text, term.span.clone(), fault));
            }
            seen.push((keyword, term));
            apply(&mut rule, keyword, term).map_err(|error| error.at(text, term))?;
        }
        // Both together: reply, then drop.
        if let (Some(_), Some(Action::DropBefore(how))) = (&rule.reply, rule.ending) {
            rule.ending = Some(Action::DropAfter(how));
        }
        match rule.contradiction() {
            None => Ok(rule),
            Some(Contradiction { keyword: None, expected }) => Err(missing(expected)),
            Some(Contradiction { keyword: Some(keyword), expected }) => {
                // At the term that requires another one, or at the end, where a term is missing.
                let term = seen.iter().find(|(own, _)| *own == keyword);
                let place = term.map_or(text.len()..text.len(), |(_, term)| term.span.clone());
                Err(GrammarError::expected(text, place, expected))
            }
        }
    }
}

/// `name=value`, or only `name`.
struct Term<'t> {
    /// Including the `=`.
    name: &'t str,
    /// Without quotes and escapes.
    value: String,
    span: Range<usize>,
    /// Start of the value, including its quotes.
    value_at: usize,
    is_quoted: bool,
}

impl Term<'_> {
    fn name_span(&self) -> Range<usize> {
        self.span.start..self.value_at
    }

    fn value_span(&self) -> Range<usize> {
        self.value_at..self.span.end
    }
}

/// The fault of a term, and the part of it.
enum Wrong {
    Value(Fault),
    Name(Fault),
    Within(GrammarError),
}

impl Wrong {
    fn at(self, text: &str, term: &Term<'_>) -> GrammarError {
        match self {
            Self::Value(fault) => GrammarError::new(text, term.value_span(), fault),
            Self::Name(fault) => GrammarError::new(text, term.name_span(), fault),
            // A quoted value with escapes is longer than the value itself: the caret covers all of it.
            Self::Within(error) if term.is_quoted => {
                GrammarError::new(text, term.value_span(), error.fault().clone())
            }
            Self::Within(error) => error.within(text, term.value_at),
        }
    }
}

fn expected(what: &'static str) -> Wrong {
    Wrong::Value(Fault::expected(what))
}

/// Words separated by spaces. A value in double quotes may contain spaces and escapes.
fn split(text: &str) -> Result<Vec<Term<'_>>, GrammarError> {
    let mut terms = Vec::new();
    let mut at = 0;
    loop {
        at = text.len() - text[at..].trim_start().len();
        let rest = &text[at..];
        if rest.is_empty() {
            return Ok(terms);
        }
        let word_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let name_end = rest[..word_end].find('=').map_or(word_end, |equals| equals + 1);
        let (name, behind) = (&rest[..name_end], &rest[name_end..]);
        let value_at = at + name_end;
        let is_quoted = name.ends_with('=') && behind.starts_with('"');
        let (value, length) = match is_quoted {
            true => unquote(text, value_at)?,
            false => (rest[name_end..word_end].to_owned(), word_end - name_end),
        };
        let span = at..value_at + length;
        at = span.end;
        if is_quoted && text[at..].starts_with(|c: char| !c.is_whitespace()) {
            return Err(GrammarError::expected(text, at..at, "a space behind the closing quote"));
        }
        terms.push(Term { name, value, span, value_at, is_quoted });
    }
}

/// The value of the quoted string at `start`, and its length in the text.
fn unquote(text: &str, start: usize) -> Result<(String, usize), GrammarError> {
    let mut value = String::new();
    let mut chars = text[start..].char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                _ => {
                    let place = start + at..(start + at + 2).min(text.len());
                    let place =
                        if text.is_char_boundary(place.end) { place } else { start + at..start + at + 1 };
                    let escapes = r#"\", \\, \n (a line end), \r or \t"#;
                    return Err(GrammarError::expected(text, place, escapes));
                }
            },
            c => value.push(c),
        }
    }
    Err(GrammarError::expected(text, text.len()..text.len(), "a closing quote"))
}

fn read_stage(text: &str, term: &Term<'_>) -> Result<Option<Stage>, GrammarError> {
    let word = &text[term.span.clone()];
    let found = Stage::ALL.iter().find(|stage| stage.name() == word);
    match found {
        Some(stage) => Ok(Some(*stage)),
        None if word == ANY => Ok(None),
        None => {
            let names: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).chain([ANY]).collect();
            Err(GrammarError::new(text, term.span.clone(), Fault::unknown("stage", word, &names)))
        }
    }
}

fn apply(rule: &mut Rule, keyword: Keyword, Term { name, value, .. }: &Term<'_>) -> Result<(), Wrong> {
    let when = &mut rule.when;
    match keyword {
        Keyword::Id => rule.id = Some(value.as_str().into()),
        Keyword::From => when.from = Some(Glob::new(value)),
        Keyword::To => when.to = Some(Glob::new(value)),
        Keyword::Helo => when.helo = Some(Glob::new(value)),
        Keyword::User => when.user = Some(Glob::new(value)),
        Keyword::Mechanism => when.mechanism = Some(Glob::new(value)),
        Keyword::Sni => when.sni = Some(Glob::new(value)),
        Keyword::Inbox => when.inbox = Some(Glob::new(value)),
        Keyword::Ip => when.ip = Some(value.parse::<Cidr>().map_err(Wrong::Within)?),
        Keyword::Session => when.session = Some(ordinals(value)?),
        Keyword::Nth => when.nth = Some(ordinals(value)?),
        Keyword::Every => when.every = Some(count(value)?),
        Keyword::Times => when.times = Some(count(value)?),
        Keyword::Odds => when.odds = Some(Chance::parse(value).ok_or_else(|| expected(A_CHANCE))?),
        Keyword::Per => {
            let keys = value.split('+').map(|word| one_of("key", word, Key::BY_WORD));
            when.count_per(keys.collect::<Result<Vec<_>, _>>()?);
        }
        Keyword::After => when.after = Some(duration(value)?),
        Keyword::Until => when.until = Some(duration(value)?),
        Keyword::Period => when.period = Some(duration(value)?),
        Keyword::Size => when.size = Some(parse_size(value).ok_or_else(|| expected(A_SIZE))?),
        Keyword::Parameter => {
            let name = Keyword::parameter_in(name).unwrap_or_default().to_ascii_lowercase();
            when.parameters.push((name.into(), Glob::new(value)));
        }
        Keyword::Delay => rule.delay = Some(value.parse::<Delay>().map_err(Wrong::Within)?),
        Keyword::Reply => rule.reply = Some(Reply::new(value)),
        Keyword::Ehlo => rule.offer = Some(value.parse::<Offer>().map_err(Wrong::Within)?),
        Keyword::Drop => end(rule, one_of("way to drop", value, DROPS)?)?,
        Keyword::Cut => {
            let octets = value.parse().map_err(|_| expected("a number of bytes from 0, like 5"))?;
            end(rule, Action::Cut(octets))?;
        }
        Keyword::Certificate => {
            rule.certificate = Some(one_of("certificate", value, WrongCertificate::BY_WORD)?);
        }
        Keyword::Version => {
            let version = value.parse::<TlsVersion>();
            rule.version = Some(version.map_err(|_| expected(UnknownVersion::EXPECTED))?);
        }
        Keyword::Alert => end(rule, Action::Alert(one_of("alert", value, Alert::BY_WORD)?))?,
        Keyword::Garbage => end(rule, Action::Garbage)?,
        Keyword::Silent => end(rule, Action::Silent)?,
        Keyword::Stall => end(rule, Action::Stall)?,
        Keyword::Close => end(rule, Action::Close)?,
        Keyword::Accept => end(rule, Action::Accept)?,
    }
    Ok(())
}

fn end(rule: &mut Rule, ending: Action) -> Result<(), Wrong> {
    match rule.ending.replace(ending) {
        Some(_) => Err(Wrong::Name(Fault::expected(SEVERAL_ENDINGS))),
        None => Ok(()),
    }
}

fn one_of<T: Copy>(what: &'static str, word: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let found = choices.iter().find(|(known, _)| *known == word);
    found.map(|&(_, value)| value).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|&(word, _)| word).collect();
        Wrong::Value(Fault::unknown(what, word, &words))
    })
}

fn count(text: &str) -> Result<u64, Wrong> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| expected(A_COUNT))
}

fn ordinals(text: &str) -> Result<Ordinals, Wrong> {
    let wrong = || expected(AN_ORDINAL);
    let ordinal = |text: &str| text.parse::<u64>().ok().filter(|&ordinal| ordinal > 0).ok_or_else(wrong);
    match text.split_once("..") {
        None => ordinal(text).map(Ordinals::from),
        Some((first, "")) => Ok(Ordinals { first: ordinal(first)?, last: None }),
        Some((first, last)) => Ok(Ordinals { first: ordinal(first)?, last: Some(ordinal(last)?) })
            .and_then(|range| if range.last >= Some(range.first) { Ok(range) } else { Err(wrong()) }),
    }
}

fn duration(text: &str) -> Result<Duration, Wrong> {
    parse_duration(text).ok_or_else(|| expected(A_DURATION))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, id, when, delay, reply, offer, certificate, version, ending, expires_at: _ } = self;
        f.write_str(stage.map_or(ANY, Stage::name))?;
        write_some(f, "id=", id.as_ref())?;
        for (name, glob) in [("from", &when.from), ("to", &when.to), ("helo", &when.helo)] {
            if let Some(glob) = glob {
                write!(f, " {name}={}", Quoted(&glob.to_string()))?;
            }
        }
        write_some(f, "ip=", when.ip.as_ref())?;
        let names = [
            ("user", &when.user),
            ("mechanism", &when.mechanism),
            ("sni", &when.sni),
            ("inbox", &when.inbox),
        ];
        for (name, glob) in names {
            if let Some(glob) = glob {
                write!(f, " {name}={}", Quoted(&glob.to_string()))?;
            }
        }
        write_some(f, "session=", when.session.as_ref())?;
        write_some(f, "size>=", when.size.map(Size).as_ref())?;
        for (name, glob) in &when.parameters {
            write!(f, " param.{name}={}", Quoted(&glob.to_string()))?;
        }
        write_some(f, "after=", when.after.map(Span).as_ref())?;
        write_some(f, "until=", when.until.map(Span).as_ref())?;
        write_some(f, "period=", when.period.map(Span).as_ref())?;
        write_some(f, "nth=", when.nth.as_ref())?;
        write_some(f, "every=", when.every.as_ref())?;
        write_some(f, "odds=", when.odds.as_ref())?;
        write_some(f, "times=", when.times.as_ref())?;
        if !when.per.is_empty() {
            let name =
                |key: &Key| Key::BY_WORD.iter().find(|(_, other)| other == key).map_or("", |found| found.0);
            write!(f, " per={}", when.per.iter().map(name).collect::<Vec<_>>().join("+"))?;
        }
        write_some(f, "delay=", delay.as_ref())?;
        if let Some(reply) = reply {
            write!(f, " reply={}", Quoted(&reply.source()))?;
        }
        write_some(f, "ehlo=", offer.as_ref())?;
        write_some(f, "certificate=", certificate.as_ref())?;
        write_some(f, "version=", version.as_ref())?;
        match ending {
            None => Ok(()),
            Some(Action::Accept) => f.write_str(" accept"),
            Some(Action::Close) => f.write_str(" close"),
            Some(Action::Silent) => f.write_str(" silent"),
            Some(Action::Stall) => f.write_str(" stall"),
            Some(Action::Cut(octets)) => write!(f, " cut={octets}"),
            Some(Action::Alert(alert)) => write!(f, " alert={alert}"),
            Some(Action::Garbage) => f.write_str(" garbage"),
            Some(drop) => {
                let word = DROPS.iter().find(|(_, other)| other == drop).map_or("", |found| found.0);
                write!(f, " drop={word}")
            }
        }
    }
}

fn write_some(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}{value}"))
}

impl fmt::Display for Ordinals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(f, "{last}"),
            Some(last) => write!(f, "{}..{last}", self.first),
            None => write!(f, "{}..", self.first),
        }
    }
}

/// A value in the text of a rule, quoted if necessary.
struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\');
        if !self.0.is_empty() && self.0.chars().all(is_bare) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '"' | '\\' => write!(f, "\\{c}")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests;
