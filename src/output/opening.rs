//! Outputs that were compared, and are to be emptied by those who write to them.

use std::time::Duration;

use super::place::{OutputError, Place, Reason, Target};
use super::target::{Opened, Output, identity_at};

/// How often a FIFO is tried that nobody has opened for reading.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// All outputs of a program: open, but for FIFOs that nobody reads yet.
#[derive(Debug, Default)]
pub struct Opening {
    pub(super) outputs: Vec<Output>,
    pub(super) unread: Vec<Place>,
}

impl Opening {
    /// Waits until each FIFO has a reader, and opens it. `pause` waits so long, and returns whether to go on: false, or
    /// its error, ends it.
    ///
    /// # Errors
    /// The system refuses one, or `pause` fails.
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

    /// Opens those FIFOs that a reader has come to; true when all outputs are open. Never waits.
    fn go_on(&mut self) -> Result<bool, OutputError> {
        for place in std::mem::take(&mut self.unread) {
            match Output::try_open(place.clone()).map_err(|error| place.fails(error))? {
                Opened::Output(output) => self.outputs.push(output),
                Opened::Unread(_) => self.unread.push(place),
            }
        }
        Ok(self.unread.is_empty())
    }

    /// Waits for a reader of every FIFO.
    ///
    /// # Errors
    /// The system refuses one.
    pub fn wait(&mut self) -> Result<(), OutputError> {
        for place in std::mem::take(&mut self.unread) {
            self.outputs.push(Output::open(place.clone()).map_err(|error| place.fails(error))?);
        }
        Ok(())
    }

    /// What is lost where it ends now: a line for each FIFO that nobody reads.
    pub fn unread(&self) -> Vec<String> {
        self.unread.iter().map(|place| place.fails(Reason::Unread).to_string()).collect()
    }

    /// The output that is called so.
    pub fn take(&mut self, what: &str) -> Option<Output> {
        let at = self.outputs.iter().position(|output| output.place().what() == what)?;
        Some(self.outputs.remove(at))
    }

    /// Whether standard output carries one of these, by whatever name: text would stand in the middle of it.
    pub fn has_standard_output(&self) -> bool {
        let standard = Output::standard_output().and_then(|output| output.to_compare()).ok().flatten();
        self.outputs.iter().any(|output| match &output.place().target {
            Target::StandardOutput => true,
            Target::StandardError => false,
            Target::Path(path) => standard.is_some() && identity_at(path) == standard,
        })
    }
}
