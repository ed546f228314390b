//! Standard output and standard error, each with a thread that writes.

use std::io::{self, Write as _};

use super::PATIENCE;
use super::place::{OutputError, Place, Target};
use super::target::Output;
use super::writer::{Writer, finish};

/// The standard streams of a program.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Standard output.
    pub out: Writer,
    /// Standard error. If both streams are the same file or terminal they share a writer, which preserves the order.
    pub err: Writer,
    are_one: bool,
}

impl Streams {
    /// Starts the threads. `on_failure` gets the first error of standard output; an error of standard error affects
    /// the exit code only.
    ///
    /// # Errors
    /// A thread can't be started, or no descriptor is left.
    pub fn start(on_failure: impl Fn(&OutputError) + Send + 'static) -> Result<Self, OutputError> {
        let out = opened(Output::standard_output(), Target::StandardOutput)?;
        let err = opened(Output::standard_error(), Target::StandardError)?;
        let are_one = out.is_same_file(&err);
        let out = Writer::start(out, on_failure)?;
        let err = if are_one { out.clone() } else { Writer::start(err, |_| {})? };
        Ok(Self { out, err, are_one })
    }

    /// Standard output, unless it shares its writer with standard error, which is finished last.
    pub fn out_alone(&self) -> Option<&Writer> {
        (!self.are_one).then_some(&self.out)
    }
}

/// Writes to standard output and waits until it is written, as long as its reader makes progress within each
/// [`PATIENCE`].
///
/// # Errors
/// The text can't be written completely.
pub fn print(text: &str) -> Result<(), OutputError> {
    let output = opened(Output::standard_output(), Target::StandardOutput)?;
    write_alone(&Writer::start(output, |_| {})?, text)
}

/// Prints to standard error like [`print()`], ignoring errors.
pub fn print_error(text: &str) {
    let output = opened(Output::standard_error(), Target::StandardError);
    match output.and_then(|output| Writer::start(output, |_| {})) {
        Ok(writer) => drop(write_alone(&writer, text)),
        // Written directly: the text may report that no thread can be started.
        Err(_) => drop(io::stderr().write_all(text.as_bytes())),
    }
}

fn write_alone(writer: &Writer, text: &str) -> Result<(), OutputError> {
    writer.put(text);
    finish([writer], PATIENCE);
    writer.failure().map_or(Ok(()), Err)
}

fn opened(output: io::Result<Output>, target: Target) -> Result<Output, OutputError> {
    output.map_err(|error| Place::stream(target).fails(error))
}
