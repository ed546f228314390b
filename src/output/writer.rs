//! A thread that writes to one output. Other threads queue data and never wait for a reader.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::place::{OutputError, Place, Reason};
use super::pulse::Pulse;
use super::target::Output;
use crate::output::write_queue::{Batch, WriteQueue};
use crate::process::lock;

/// The maximum number of queued bytes.
const QUEUE_LIMIT: usize = 8 << 20;

/// An output with its thread. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    place: Place,
    queue: WriteQueue<Vec<u8>>,
    /// The first error.
    failure: OnceLock<OutputError>,
    /// A request to reopen the file, with the header for a new file.
    reopening: Mutex<Option<Vec<u8>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Empties the output and starts its thread. The first error is passed to `on_failure` on that thread; data
    /// queued afterwards is lost.
    ///
    /// # Errors
    /// The output can't be emptied, or the thread can't be started.
    pub fn start(
        mut output: Output,
        on_failure: impl Fn(&OutputError) + Send + 'static,
    ) -> Result<Self, OutputError> {
        let place = output.place().clone();
        output.empty().map_err(|error| place.fails(error))?;
        let pulse = Arc::<Pulse>::default();
        output.shown_by(&pulse);
        let shared = Arc::new(Shared {
            queue: WriteQueue::with_pulse(QUEUE_LIMIT, Arc::clone(&pulse)),
            failure: OnceLock::new(),
            reopening: Mutex::default(),
            thread: Mutex::default(),
            place,
        });
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("output".into())
            .spawn(move || writing.write_all(output, &pulse, on_failure))
            .map_err(|error| shared.place.fails(no_thread(error)))?;
        *lock(&shared.thread) = Some(thread);
        Ok(Self(shared))
    }

    /// Queues `bytes`. If the queue is full they are lost, and the output has failed.
    pub fn put(&self, bytes: impl Into<Vec<u8>>) {
        if !self.offer(bytes) {
            self.0.fail(Reason::Overrun);
        }
    }

    /// As [`put`](Self::put), for dispensable data: returns false if the queue is full.
    pub fn offer(&self, bytes: impl Into<Vec<u8>>) -> bool {
        let bytes = bytes.into();
        let weight = bytes.len();
        self.0.queue.try_push(bytes, weight)
    }

    /// As [`put`](Self::put), but waits for room without a limit. False if the output was abandoned. Only for threads
    /// that may block.
    pub fn push(&self, bytes: impl Into<Vec<u8>>) -> bool {
        let bytes = bytes.into();
        let weight = bytes.len();
        self.0.queue.push(bytes, weight, Duration::MAX)
    }

    /// Removes the queue's limit, so that waiting threads can queue their last data.
    pub fn widen(&self) {
        self.0.queue.widen();
    }

    /// Marks the output as failed because its data can't be produced.
    pub fn fail(&self, error: io::Error) {
        self.0.fail(error);
    }

    /// The first error.
    pub(super) fn failure(&self) -> Option<OutputError> {
        self.0.failure.get().cloned()
    }

    /// Requests that a file is reopened by its name for appending. A new file begins with `head`.
    pub fn reopen(&self, head: impl Into<Vec<u8>>) {
        *lock(&self.0.reopening) = Some(head.into());
        self.0.queue.nudge();
    }
}

/// Waits until all queued data of these writers is written, for each as long as its reader makes progress within each
/// `patience`. Returns an error message for each incomplete output.
pub fn finish<'w>(writers: impl IntoIterator<Item = &'w Writer>, patience: Duration) -> Vec<String> {
    let writers: Vec<_> = writers.into_iter().map(|writer| (writer, writer.0.queue.reading())).collect();
    writers.iter().for_each(|(writer, _)| writer.0.queue.close());
    // Time spent waiting for another output counts against the patience.
    let mut left = patience;
    let mut lost = Vec::new();
    for (Writer(shared), before) in writers {
        if !shared.queue.wait_until_gone_since(before, left, patience) {
            left = Duration::ZERO;
            shared.fail(Reason::Stuck(patience));
            shared.queue.abandon();
        } else if let Some(thread) = lock(&shared.thread).take() {
            let _ = thread.join();
        }
        lost.extend(shared.failure.get().map(ToString::to_string));
    }
    lost
}

impl Shared {
    fn fail(&self, reason: impl Into<Reason>) -> OutputError {
        let error = self.place.fails(reason);
        // The first error is reported.
        let _ = self.failure.set(error.clone());
        error
    }

    fn write_all(&self, output: Output, pulse: &Pulse, on_failure: impl Fn(&OutputError)) {
        self.queue.write_to(
            output,
            |output, batch| self.write_batch(output, &batch, pulse),
            Output::check,
            |error| on_failure(&self.fail(error)),
        );
    }

    fn write_batch(&self, output: &mut Output, batch: &Batch<Vec<u8>>, pulse: &Pulse) -> io::Result<()> {
        let reopening = lock(&self.reopening).take();
        if let Some(head) = reopening
            && output.reopen()?
        {
            output.write(&head, pulse)?;
        }
        batch.items.iter().try_for_each(|bytes| output.write(bytes, pulse))
    }
}

/// The error of a thread that can't be started.
#[expect(clippy::needless_pass_by_value, reason = "it maps an error to another")]
pub(crate) fn no_thread(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("starting a thread for it: {error}"))
}

/// Gathers small writes and queues them when it is flushed.
#[derive(Debug)]
pub struct Gathered {
    pending: Vec<u8>,
    writer: Writer,
}

impl Gathered {
    /// Starts empty.
    pub fn new(writer: Writer) -> Self {
        Self { pending: Vec::new(), writer }
    }
}

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.put(std::mem::take(&mut self.pending));
        Ok(())
    }
}
