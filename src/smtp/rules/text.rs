//! Rules as text: `rcpt to=*@slow.example times=3 delay=2s`. What is printed reads back as the same rule.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use super::cidr::Cidr;
use super::contradiction::Contradiction;
use super::delay::Delay;
use super::glob::Glob;
use super::grammar::{GrammarError, unknown};
use super::rule::{Drop, Ending, Key, Ordinals, Rule};
use super::units::{A_CHANCE, A_DURATION, A_SIZE, Chance, Size, Span, parse_duration, parse_size};
use crate::smtp::reply::Stage;

/// Longest text of a rule, in octets: more than anybody writes by hand.
const MAX_TEXT: usize = 16 * 1024;

/// What stands for every stage.
const ANY: &str = "any";

const TERMS: &[&str] = &[
    "id=", "from=", "to=", "helo=", "ip=", "session=", "nth=", "every=", "odds=", "times=", "per=", "after=",
    "until=", "period=", "size>=", "reply=", "delay=", "drop=", "silent", "stall", "cut=", "close", "accept",
];

const DROPS: &[(&str, Ending)] = &[
    ("fin", Ending::DropBefore(Drop::Fin)),
    ("rst", Ending::DropBefore(Drop::Rst)),
    ("fin-after", Ending::DropAfter(Drop::Fin)),
    ("rst-after", Ending::DropAfter(Drop::Rst)),
];

const A_COUNT: &str = "a whole number from 1";
const AN_ORDINAL: &str = "an ordinal from 1 or a range of them, like 3, 3..5 or 3..";
const SEVERAL_ENDINGS: &str =
    "expected only one of accept, close, drop=, silent, stall and cut=: the connection ends only once";

impl FromStr for Rule {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        if text.len() > MAX_TEXT {
            return Err(GrammarError::new("", 0..0, "expected a rule of at most 16 KiB"));
        }
        let terms = split(text)?;
        let Some((stage, terms)) = terms.split_first() else {
            let reason = "expected a stage, like rcpt, and what to do there, like delay=2s";
            return Err(GrammarError::new(text, text.len()..text.len(), reason));
        };
        let mut rule = Rule { stage: read_stage(text, stage)?, ..Rule::anywhere() };
        let mut seen: Vec<&str> = Vec::new();
        for term in terms {
            if seen.contains(&term.name) {
                let reason = format!("{} is there already: once is enough", term.name);
                return Err(GrammarError::new(text, term.span.clone(), reason));
            }
            seen.push(term.name);
            apply(&mut rule, term).map_err(|error| match error {
                Wrong::Value(reason) => GrammarError::new(text, term.value_span(), reason),
                Wrong::Name(reason) => GrammarError::new(text, term.span.start..term.value_at, reason),
                // A quoted value with escapes is longer than what it stands for: the caret takes it all.
                Wrong::Within(error) if term.is_quoted => {
                    GrammarError::new(text, term.value_span(), error.reason())
                }
                Wrong::Within(error) => error.within(text, term.value_at),
            })?;
        }
        // "reply, then drop" is what both together say.
        if let (Some(_), Some(Ending::DropBefore(how))) = (&rule.reply, rule.ending) {
            rule.ending = Some(Ending::DropAfter(how));
        }
        match rule.contradiction() {
            Some(Contradiction { term, reason }) => {
                // At the term that needs another, or at the end, where something is missing.
                let place = terms.iter().find(|own| own.name == term).map(|own| own.span.clone());
                Err(GrammarError::new(text, place.unwrap_or(text.len()..text.len()), reason))
            }
            None => Ok(rule),
        }
    }
}

/// `name=value`, or a name alone.
struct Term<'t> {
    /// The `=` included.
    name: &'t str,
    /// Without quotes and escapes.
    value: String,
    span: Range<usize>,
    /// Where the value begins, its quotes included.
    value_at: usize,
    is_quoted: bool,
}

impl Term<'_> {
    fn value_span(&self) -> Range<usize> {
        self.value_at..self.span.end
    }
}

enum Wrong {
    Value(String),
    Name(String),
    Within(GrammarError),
}

fn expected(what: &str) -> Wrong {
    Wrong::Value(format!("expected {what}"))
}

/// Words between spaces. A value in double quotes may hold spaces and escapes.
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
            return Err(GrammarError::new(text, at..at, "expected a space behind the closing quote"));
        }
        terms.push(Term { name, value, span, value_at, is_quoted });
    }
}

/// The value of the quoted string that begins at `start`, and its length in the text.
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
                    let reason = r#"expected \", \\, \n (a line end), \r or \t"#;
                    return Err(GrammarError::new(text, place, reason));
                }
            },
            c => value.push(c),
        }
    }
    Err(GrammarError::new(text, text.len()..text.len(), "expected a closing quote"))
}

fn read_stage(text: &str, term: &Term<'_>) -> Result<Option<Stage>, GrammarError> {
    let word = &text[term.span.clone()];
    let found = Stage::ALL.iter().find(|stage| stage.name() == word);
    match found {
        Some(stage) => Ok(Some(*stage)),
        None if word == ANY => Ok(None),
        None => {
            let names: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).chain([ANY]).collect();
            Err(GrammarError::new(text, term.span.clone(), unknown("stage", word, &names)))
        }
    }
}

fn apply(rule: &mut Rule, term: &Term<'_>) -> Result<(), Wrong> {
    let value = term.value.as_str();
    let when = &mut rule.when;
    match term.name {
        "id=" => rule.id = Some(value.into()),
        "from=" => when.from = Some(Glob::new(value)),
        "to=" => when.to = Some(Glob::new(value)),
        "helo=" => when.helo = Some(Glob::new(value)),
        "ip=" => when.ip = Some(value.parse::<Cidr>().map_err(Wrong::Within)?),
        "session=" => when.session = Some(ordinals(value)?),
        "nth=" => when.nth = Some(ordinals(value)?),
        "every=" => when.every = Some(count(value)?),
        "times=" => when.times = Some(count(value)?),
        "odds=" => when.odds = Some(Chance::parse(value).ok_or_else(|| expected(A_CHANCE))?),
        "per=" => {
            let keys = value.split('+').map(key).collect::<Result<Vec<_>, _>>()?;
            *rule = std::mem::replace(rule, Rule::anywhere()).per(keys);
        }
        "after=" => when.after = Some(duration(value)?),
        "until=" => when.until = Some(duration(value)?),
        "period=" => when.period = Some(duration(value)?),
        "size>=" => when.size = Some(parse_size(value).ok_or_else(|| expected(A_SIZE))?),
        "delay=" => rule.delay = Some(value.parse::<Delay>().map_err(Wrong::Within)?),
        "reply=" => *rule = std::mem::replace(rule, Rule::anywhere()).reply(value),
        _ => {
            if rule.ending.replace(ending(term)?).is_some() {
                return Err(Wrong::Name(SEVERAL_ENDINGS.to_owned()));
            }
        }
    }
    Ok(())
}

fn ending(term: &Term<'_>) -> Result<Ending, Wrong> {
    let value = term.value.as_str();
    match term.name {
        "silent" => Ok(Ending::Silent),
        "stall" => Ok(Ending::Stall),
        "close" => Ok(Ending::Close),
        "accept" => Ok(Ending::Accept),
        "cut=" => value.parse().map(Ending::Cut).map_err(|_| expected("a number of bytes from 0, like 5")),
        "drop=" => {
            let found = DROPS.iter().find(|(word, _)| *word == value);
            found.map(|&(_, ending)| ending).ok_or_else(|| {
                let words: Vec<_> = DROPS.iter().map(|&(word, _)| word).collect();
                Wrong::Value(unknown("way to drop", value, &words))
            })
        }
        name => Err(Wrong::Name(unknown("condition or action", name, TERMS))),
    }
}

fn key(word: &str) -> Result<Key, Wrong> {
    let found = Key::ALL.iter().find(|(_, name)| *name == word);
    found.map(|&(key, _)| key).ok_or_else(|| {
        let names = Key::ALL.map(|(_, name)| name);
        Wrong::Value(unknown("key", word, &names))
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
        let Self { stage, id, when, delay, reply, ending } = self;
        f.write_str(stage.map_or(ANY, Stage::name))?;
        write_some(f, "id=", id.as_ref())?;
        for (name, glob) in [("from", &when.from), ("to", &when.to), ("helo", &when.helo)] {
            if let Some(glob) = glob {
                write!(f, " {name}={}", Quoted(&glob.to_string()))?;
            }
        }
        write_some(f, "ip=", when.ip.as_ref())?;
        write_some(f, "session=", when.session.as_ref())?;
        write_some(f, "size>=", when.size.map(Size).as_ref())?;
        write_some(f, "after=", when.after.map(Span).as_ref())?;
        write_some(f, "until=", when.until.map(Span).as_ref())?;
        write_some(f, "period=", when.period.map(Span).as_ref())?;
        write_some(f, "nth=", when.nth.as_ref())?;
        write_some(f, "every=", when.every.as_ref())?;
        write_some(f, "odds=", when.odds.as_ref())?;
        write_some(f, "times=", when.times.as_ref())?;
        if !when.per.is_empty() {
            let name =
                |key: &Key| Key::ALL.iter().find(|(other, _)| other == key).map_or("", |found| found.1);
            write!(f, " per={}", when.per.iter().map(name).collect::<Vec<_>>().join("+"))?;
        }
        write_some(f, "delay=", delay.as_ref())?;
        if let Some(reply) = reply {
            write!(f, " reply={}", Quoted(&reply.source()))?;
        }
        match ending {
            None => Ok(()),
            Some(Ending::Accept) => f.write_str(" accept"),
            Some(Ending::Close) => f.write_str(" close"),
            Some(Ending::Silent) => f.write_str(" silent"),
            Some(Ending::Stall) => f.write_str(" stall"),
            Some(Ending::Cut(octets)) => write!(f, " cut={octets}"),
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

/// A value as a rule has it: in quotes where it needs them.
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
