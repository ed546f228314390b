//! What a program is to write to and to read, and that no two of it are one file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::opening::Opening;
use super::place::{Identity, OutputError, Place, Target};
use super::target::{Opened, Output, identity_at};

/// The files of a command line, each with the flag that names it.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    claims: Vec<Claim>,
}

#[derive(Clone, Debug)]
struct Claim {
    flag: String,
    what: Use,
}

#[derive(Clone, Debug)]
enum Use {
    /// Data, in a place of its own.
    Output(Place),
    /// Text on standard output, which may have more of it.
    Text,
    /// Is read, and must not be written to.
    Input(PathBuf),
    /// Standard error, which no flag names: it must not be in a file of data.
    Errors,
}

/// Why outputs can't be opened.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Two flags name one file.
    Collision(String),
    /// The system refuses one.
    Failed(OutputError),
}

/// Which file a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    StandardOutput(Option<Identity>),
    File(Identity),
    /// A device, or nothing yet.
    Anywhere,
}

impl Claims {
    /// `what` is written to this path, or to standard output for `-`.
    pub fn output(&mut self, flag: impl Into<String>, what: &'static str, path: &Path) {
        self.claim(flag.into(), Use::Output(Place::new(what, path)));
    }

    /// Text goes to standard output.
    pub fn text(&mut self, flag: impl Into<String>) {
        self.claim(flag.into(), Use::Text);
    }

    /// This path is read, or is made anew: nothing else may be written to it.
    pub fn input(&mut self, flag: impl Into<String>, path: &Path) {
        self.claim(flag.into(), Use::Input(path.to_owned()));
    }

    fn claim(&mut self, flag: String, what: Use) {
        self.claims.push(Claim { flag, what });
    }

    /// Whether an output is standard output by its name, `-`.
    pub fn has_standard_output(&self) -> bool {
        self.claims.iter().any(|claim| match &claim.what {
            Use::Output(place) => place.target == Target::StandardOutput,
            Use::Text | Use::Input(_) | Use::Errors => false,
        })
    }

    /// Opens all outputs, and compares them. Nothing is emptied, and no reader of a FIFO is waited for.
    ///
    /// # Errors
    /// Two are one file, one is read as well, or one can't be opened or is written to by another process.
    pub fn open(&self) -> Result<Opening, Refusal> {
        let standard = Output::standard_output()
            .map_err(|error| failed(&Place::stream(Target::StandardOutput), error))?;
        let standard = standard.to_compare().ok().flatten();
        let mut opening = Opening::default();
        let mut spots = Vec::new();
        // What is read is looked at last: an output that is made just now may be what is to be read.
        for claim in &self.claims {
            spots.push(match &claim.what {
                Use::Output(place) if place.target == Target::StandardOutput => {
                    opening.add(place, Output::open(place.clone()).map(Opened::Output))?;
                    Spot::StandardOutput(standard)
                }
                Use::Output(place) => opening.add(place, Output::try_open(place.clone()))?,
                Use::Text => Spot::StandardOutput(standard),
                Use::Input(_) | Use::Errors => Spot::Anywhere,
            });
        }
        for (claim, spot) in self.claims.iter().zip(&mut spots) {
            if let Use::Input(path) = &claim.what {
                *spot = identity_at(path).map_or(Spot::Anywhere, Spot::File);
            }
        }
        // Without a standard error nothing is mixed.
        let errors = Output::standard_error().and_then(|output| output.to_compare()).ok().flatten();
        spots.push(errors.map_or(Spot::Anywhere, Spot::File));
        let errors = Claim { flag: "standard error".to_owned(), what: Use::Errors };
        let claims: Vec<&Claim> = self.claims.iter().chain([&errors]).collect();
        compare(&claims, &spots)?;
        opening.lock()?;
        Ok(opening)
    }
}

fn compare(claims: &[&Claim], spots: &[Spot]) -> Result<(), Refusal> {
    for (at, (claim, spot)) in claims.iter().zip(spots).enumerate() {
        for (other, taken) in claims[..at].iter().zip(spots) {
            if spot.is(*taken)
                && let Some(reason) = claim.collision(other)
            {
                return Err(Refusal::Collision(reason));
            }
        }
    }
    Ok(())
}

impl Spot {
    fn is(self, other: Self) -> bool {
        let identity = |spot| match spot {
            Self::StandardOutput(identity) => identity,
            Self::File(identity) => Some(identity),
            Self::Anywhere => None,
        };
        match (self, other) {
            // Even on a device they would mix.
            (Self::StandardOutput(_), Self::StandardOutput(_)) => true,
            _ => identity(self).is_some() && identity(self) == identity(other),
        }
    }
}

impl Claim {
    /// Why this and the other, which are one file, can't be.
    fn collision(&self, other: &Self) -> Option<String> {
        let (flag, earlier) = (&self.flag, &other.flag);
        match (&self.what, &other.what) {
            (Use::Text, Use::Text) | (Use::Input(_), Use::Input(_)) => None,
            // It is the last, behind all others.
            (Use::Errors, Use::Output(place)) if !other.is_by_name() => {
                Some(format!("{earlier} writes to {place}, where {flag} goes too: expected another file"))
            }
            (Use::Errors, _) | (_, Use::Errors) => None,
            (Use::Input(_), _) => Some(other.overwrites(self)),
            (_, Use::Input(_)) => Some(self.overwrites(other)),
            _ if self.is_by_name() && other.is_by_name() => {
                let movable = if matches!(self.what, Use::Text) { earlier } else { flag };
                Some(format!(
                    "{flag} and {earlier} both write to standard output: expected a file for {movable}"
                ))
            }
            _ => Some(format!(
                "{flag} and {earlier} both write to {}: expected a file for each",
                self.names(other)
            )),
        }
    }

    fn overwrites(&self, read: &Self) -> String {
        let names = self.names(read);
        format!("{} would write over what {} names, {names}: expected another file", self.flag, read.flag)
    }

    /// Whether it is standard output, whatever file that is.
    fn is_by_name(&self) -> bool {
        self.path().is_none()
    }

    fn path(&self) -> Option<&Path> {
        match &self.what {
            Use::Input(path) | Use::Output(Place { target: Target::Path(path), .. }) => Some(path),
            Use::Output(_) | Use::Text | Use::Errors => None,
        }
    }

    /// What both are called: one name, or two that mean one file.
    fn names(&self, other: &Self) -> String {
        let name =
            |claim: &Self| claim.path().map_or("standard output".to_owned(), |path| format!("{path:?}"));
        let (own, others) = (name(self), name(other));
        if own == others { own } else { format!("{own}, which is {others}") }
    }
}

fn failed(place: &Place, error: io::Error) -> Refusal {
    Refusal::Failed(place.fails(error))
}

impl Opening {
    fn add(&mut self, place: &Place, opened: io::Result<Opened>) -> Result<Spot, Refusal> {
        match opened.map_err(|error| failed(place, error))? {
            Opened::Output(output) => {
                let identity = output.to_compare().map_err(|error| failed(place, error))?;
                self.outputs.push(output);
                Ok(identity.map_or(Spot::Anywhere, Spot::File))
            }
            Opened::Unread(identity) => {
                self.unread.push(place.clone());
                Ok(Spot::File(identity))
            }
        }
    }

    fn lock(&self) -> Result<(), Refusal> {
        self.outputs
            .iter()
            .try_for_each(|output| output.lock().map_err(|error| failed(output.place(), error)))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collision(text) => f.write_str(text),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}
