//! The files that a program reads and writes, and the check that no two are the same.

use std::path::{Path, PathBuf};
use std::{fmt, io};

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
    /// Data, which needs a separate file.
    Output(Place),
    /// Text on standard output, which may carry several texts.
    Text,
    /// An input, which must not be written.
    Input(PathBuf),
    /// Standard error, which must not go to a file of data.
    Errors,
}

/// Why outputs can't be opened.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Two flags name the same file.
    Collision(String),
    /// An output can't be opened.
    Failed(OutputError),
}

/// The file of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    StandardOutput(Option<Identity>),
    File(Identity),
    /// A device, or a file that does not exist yet.
    Anywhere,
}

impl Claims {
    /// Declares that `what` is written to this path, or to standard output for `-`.
    pub fn output(&mut self, flag: impl Into<String>, what: &'static str, path: &Path) {
        self.claim(flag.into(), Use::Output(Place::new(what, path)));
    }

    /// Declares that text goes to standard output.
    pub fn text(&mut self, flag: impl Into<String>) {
        self.claim(flag.into(), Use::Text);
    }

    /// Declares that this path is read or replaced: no output may use it.
    pub fn input(&mut self, flag: impl Into<String>, path: &Path) {
        self.claim(flag.into(), Use::Input(path.to_owned()));
    }

    fn claim(&mut self, flag: String, what: Use) {
        self.claims.push(Claim { flag, what });
    }

    /// Whether an output is named `-`, for standard output.
    pub fn has_standard_output(&self) -> bool {
        self.claims.iter().any(|claim| match &claim.what {
            Use::Output(place) => place.target == Target::StandardOutput,
            Use::Text | Use::Input(_) | Use::Errors => false,
        })
    }

    /// Opens, compares and locks all outputs. Empties none, and does not wait for readers of FIFOs.
    ///
    /// # Errors
    /// Two outputs are the same file, an output is also an input, or one can't be opened or is locked by another
    /// process.
    pub fn open(&self) -> Result<Opening, Refusal> {
        let standard = Output::standard_output()
            .map_err(|error| failed(&Place::stream(Target::StandardOutput), error))?;
        let standard = standard.to_compare().ok().flatten();
        let mut opening = Opening::default();
        let mut spots = Vec::new();
        // Inputs are identified last: opening an output may have created the file.
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
        // A closed standard error needs no comparison.
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
            // They would be interleaved even on a device.
            (Self::StandardOutput(_), Self::StandardOutput(_)) => true,
            _ => identity(self).is_some() && identity(self) == identity(other),
        }
    }
}

impl Claim {
    /// The error for two claims of the same file; `None` if both are allowed.
    fn collision(&self, other: &Self) -> Option<String> {
        let (flag, earlier) = (&self.flag, &other.flag);
        match (&self.what, &other.what) {
            (Use::Text, Use::Text) | (Use::Input(_), Use::Input(_)) => None,
            // Standard error is the last of the claims.
            (Use::Errors, Use::Output(place)) if !other.is_by_name() => Some(format!(
                "{earlier} and {flag} both write to {place}: expected another file for {earlier}"
            )),
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
        format!("{} would overwrite the file of {}, {names}: expected another file", self.flag, read.flag)
    }

    /// Whether the claim explicitly names standard output.
    fn is_by_name(&self) -> bool {
        self.path().is_none()
    }

    fn path(&self) -> Option<&Path> {
        match &self.what {
            Use::Input(path) | Use::Output(Place { target: Target::Path(path), .. }) => Some(path),
            Use::Output(_) | Use::Text | Use::Errors => None,
        }
    }

    /// The names of the file: one, or two if the claims name it differently.
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
