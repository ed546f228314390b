//! Outputs that are open and compared, but not yet truncated.

use std::time::Duration;

use super::place::{OutputError, Place, Reason, Target};
use super::target::{Opened, Output, identity_at};

/// How often opening a FIFO without a reader is retried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// All outputs of a program: open, except FIFOs without a reader.
#[derive(Debug, Default)]
pub struct Opening {
    pub(super) outputs: Vec<Output>,
    pub(super) unread: Vec<Place>,
}

impl Opening {
    /// Waits until each FIFO has a reader and opens it. `pause` is called between attempts: it waits for the given time
    /// and returns whether to continue.
    ///
    /// # Errors
    /// An output can't be opened, or `pause` fails.
    pub fn wait_for_readers<E: From<OutputError>>(
        &mut self,
        mut pause: impl FnMut(Duration) -> Result<bool, E>,
    ) -> Result<bool, E> {
        while !self.go_on()? {
            if !pause(TRY_EVERY)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens the FIFOs that now have a reader. True if all outputs are open. Never waits.
    fn go_on(&mut self) -> Result<bool, OutputError> {
        for place in std::mem::take(&mut self.unread) {
            match Output::try_open(place.clone()).map_err(|error| place.fails(error))? {
                Opened::Output(output) => self.outputs.push(output),
                Opened::Unread(_) => self.unread.push(place),
            }
        }
        Ok(self.unread.is_empty())
    }

    /// Waits until each FIFO has a reader and opens it.
    ///
    /// # Errors
    /// An output can't be opened.
    pub fn wait(&mut self) -> Result<(), OutputError> {
        for place in std::mem::take(&mut self.unread) {
            self.outputs.push(Output::open(place.clone()).map_err(|error| place.fails(error))?);
        }
        Ok(())
    }

    /// One error message for each FIFO without a reader.
    pub fn unread(&self) -> Vec<String> {
        self.unread.iter().map(|place| place.fails(Reason::Unread).to_string()).collect()
    }

    /// Removes and returns the output of this name.
    pub fn take(&mut self, what: &str) -> Option<Output> {
        let at = self.outputs.iter().position(|output| output.place().what() == what)?;
        Some(self.outputs.remove(at))
    }

    /// Whether one of the outputs is standard output, under any name. If so, no other text may be printed there.
    pub fn has_standard_output(&self) -> bool {
        let standard = Output::standard_output().and_then(|output| output.to_compare()).ok().flatten();
        self.outputs.iter().any(|output| match &output.place().target {
            Target::StandardOutput => true,
            Target::StandardError => false,
            Target::Path(path) => standard.is_some() && identity_at(path) == standard,
        })
    }
}
