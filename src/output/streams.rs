//! Standard output and standard error, with a thread each.

use std::io;

use super::place::{Place, Target};
use super::pulse::Pulse;
use super::target::Output;
use super::writer::Writer;

/// The standard streams of a program.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Standard output.
    pub out: Writer,
    /// Standard error. Where both are one file or terminal so is the writer: what comes later stands below.
    pub err: Writer,
    are_one: bool,
}

impl Streams {
    /// Starts their threads. What goes wrong with standard output is given to `on_failure`; of standard error only the
    /// exit code can tell.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptor.
    pub fn start(on_failure: impl Fn(&str) + Send + 'static) -> Result<Self, String> {
        let opened =
            |output: io::Result<Output>, target| output.map_err(|error| Place::stream(target).error(&error));
        let out = opened(Output::standard_output(), Target::StandardOutput)?;
        let err = opened(Output::standard_error(), Target::StandardError)?;
        let are_one = out.is_same_file(&err);
        let out = Writer::start(out, on_failure)?;
        let err = if are_one { out.clone() } else { Writer::start(err, |_| {})? };
        Ok(Self { out, err, are_one })
    }

    /// Standard output, if that is not standard error too, which has the last word.
    pub fn out_alone(&self) -> Option<&Writer> {
        (!self.are_one).then_some(&self.out)
    }
}

/// Writes to standard output, and waits until it is written.
///
/// # Errors
/// Standard output does not take all of it.
pub fn print(text: &str) -> Result<(), String> {
    let written =
        Output::standard_output().and_then(|mut output| output.write(text.as_bytes(), &Pulse::default()));
    written.map_err(|error| Place::stream(Target::StandardOutput).error(&error))
}
