//! The outputs. They are opened before the run, so that errors are known before it is measured, emptied when it starts, and
//! written on threads of their own, so that a slow reader delays no signal.

use std::cell::{OnceCell, RefCell};
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smtpmock::output::{self, Claims, Opening, Streams, Writer};

use crate::program::cli::OutputArgs;
use crate::program::stop::Stop;
use crate::report::{self, Report};

/// Names of the outputs.
const JSON: &str = "the JSON report";
const HLOG: &str = "the interval log";
const HTML: &str = "the page";

/// All requested outputs. Those of a run that does not start stay as they were; a file that was created for it is removed.
#[derive(Debug)]
pub(crate) struct Outputs {
    streams: Streams,
    shows_table: bool,
    opening: RefCell<Opening>,
    writers: OnceCell<Writers>,
}

#[derive(Debug)]
struct Writers {
    json: Option<Writer>,
    hlog: Option<Writer>,
    html: Option<Writer>,
    /// A line for each that can't be emptied, or has no thread.
    failed: Vec<String>,
}

impl Outputs {
    /// Opens the outputs, compares them with each other and with the inputs, and waits for the readers of FIFOs until
    /// `interrupt` is set.
    ///
    /// # Errors
    /// Two outputs are one file, one can't be opened, or a signal came before all were open.
    pub(crate) fn open<'p>(
        args: &OutputArgs,
        inputs: impl IntoIterator<Item = (&'static str, &'p Path)>,
        streams: &Streams,
        interrupt: &AtomicBool,
    ) -> Result<Outputs, Stop> {
        let mut claims = Claims::default();
        for (flag, what, path) in [
            ("--report-json", JSON, &args.json),
            ("--hlog", HLOG, &args.hlog),
            ("--report-html", HTML, &args.html),
        ] {
            path.iter().for_each(|path| claims.output(flag, what, path));
        }
        // A table would corrupt JSON on the same stream.
        let shows_table = !args.quiet && !claims.has_standard_output();
        if shows_table {
            claims.text("the table (which --quiet omits)");
        }
        inputs.into_iter().for_each(|(flag, path)| claims.input(flag, path));
        let mut opening = claims.open()?;
        wait_for_readers(&mut opening, interrupt)?;
        Ok(Outputs {
            opening: RefCell::new(opening),
            writers: OnceCell::new(),
            streams: streams.clone(),
            shows_table,
        })
    }

    /// The run has started: files are emptied. Later calls do nothing.
    pub(crate) fn begin(&self) {
        self.writers();
    }

    /// Whether they were emptied.
    #[cfg(feature = "fleet")]
    pub(crate) fn has_begun(&self) -> bool {
        self.writers.get().is_some()
    }

    fn writers(&self) -> &Writers {
        self.writers.get_or_init(|| {
            let mut opening = self.opening.borrow_mut();
            let mut failed = Vec::new();
            let mut start = |what| match Writer::start(opening.take(what)?, |_| {}) {
                Ok(writer) => Some(writer),
                Err(error) => {
                    failed.push(error.to_string());
                    None
                }
            };
            let (json, hlog, html) = (start(JSON), start(HLOG), start(HTML));
            Writers { json, hlog, html, failed }
        })
    }

    /// Writes the report to all outputs. Each reader must accept something within each `patience`. Returns a line for
    /// each output that is incomplete.
    pub(crate) fn write(&self, report: &Report, patience: Duration) -> Vec<String> {
        let Writers { json, hlog, html, failed } = self.writers();
        let mut lost = failed.clone();
        let mut put =
            |writer: &Option<Writer>, what: &str, rendered: &dyn Fn() -> Result<Vec<u8>, Box<dyn Error>>| {
                if let Some(writer) = writer {
                    match rendered() {
                        Ok(bytes) => writer.put(bytes),
                        Err(error) => lost.push(format!("can't make {what}: {error}")),
                    }
                }
            };
        put(json, JSON, &|| Ok(report::json::render(report)?));
        put(hlog, HLOG, &|| Ok(report::hlog::render(report)?));
        put(html, HTML, &|| Ok(report::html::render(report).into_bytes()));
        if self.shows_table {
            self.streams.out.put(report::text::render(report));
        }
        let files = [json, hlog, html].into_iter().flatten();
        lost.extend(output::finish(files.chain(self.streams.out_alone()), patience));
        lost
    }
}

fn wait_for_readers(opening: &mut Opening, interrupt: &AtomicBool) -> Result<(), Stop> {
    let is_open = opening.wait_for_readers(|time| {
        std::thread::sleep(time);
        Ok::<_, Stop>(!interrupt.load(Ordering::Relaxed))
    })?;
    if is_open { Ok(()) } else { Err(Stop::Unread(opening.unread())) }
}
