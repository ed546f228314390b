//! Standard output and standard error, with a thread each.

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
    pub fn start(on_failure: impl Fn(&OutputError) + Send + 'static) -> Result<Self, OutputError> {
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

/// Writes to standard output, and waits until it is written, as long as its reader takes something within each
/// [`PATIENCE`].
///
/// # Errors
/// Standard output does not take all of it.
pub fn print(text: &str) -> Result<(), OutputError> {
    let output = opened(Output::standard_output(), Target::StandardOutput)?;
    write_alone(&Writer::start(output, |_| {})?, text)
}

/// The same to standard error, as far as that takes it: without one there is only the exit code.
pub fn print_error(text: &str) {
    let output = opened(Output::standard_error(), Target::StandardError);
    match output.and_then(|output| Writer::start(output, |_| {})) {
        Ok(writer) => drop(write_alone(&writer, text)),
        // The text may be that there is no thread to be had.
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
