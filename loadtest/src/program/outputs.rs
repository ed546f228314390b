//! The outputs. They are opened before the run, so that errors are known before it is measured, and written on
//! threads of their own, so that a slow reader delays no signal.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smtpmock::output::{self, Claims, Opening, Streams, Writer};

use crate::program::cli::OutputArgs;
use crate::program::stop::Stop;
use crate::report::{Report, hlog, html, json, text};

/// Names of the outputs.
const JSON: &str = "the JSON report";
const HLOG: &str = "the interval log";
const HTML: &str = "the page";

/// All requested outputs.
#[derive(Debug)]
pub(crate) struct Outputs {
    streams: Streams,
    shows_table: bool,
    json: Option<Writer>,
    hlog: Option<Writer>,
    html: Option<Writer>,
}

impl Outputs {
    /// Opens the outputs, compares them with each other and with the inputs, waits for the readers of FIFOs until
    /// `interrupt` is set, and truncates files.
    ///
    /// # Errors
    /// Two outputs are one file, one can't be opened, a thread can't be started, or a signal came before all were
    /// open.
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
        let mut start = |what| {
            let started = opening.take(what).map(|output| Writer::start(output, |_| {})).transpose();
            started.map_err(Stop::Output)
        };
        Ok(Outputs {
            json: start(JSON)?,
            hlog: start(HLOG)?,
            html: start(HTML)?,
            streams: streams.clone(),
            shows_table,
        })
    }

    /// Writes the report to all outputs. Each reader must accept something within each `patience`. Returns a line for
    /// each output that is incomplete.
    pub(crate) fn write(&self, report: &Report, patience: Duration) -> Vec<String> {
        let mut lost = Vec::new();
        let mut put =
            |writer: &Option<Writer>, what: &str, rendered: &dyn Fn() -> Result<Vec<u8>, Box<dyn Error>>| {
                if let Some(writer) = writer {
                    match rendered() {
                        Ok(bytes) => writer.put(bytes),
                        Err(error) => lost.push(format!("can't make {what}: {error}")),
                    }
                }
            };
        put(&self.json, JSON, &|| Ok(json::render(report)?));
        put(&self.hlog, HLOG, &|| Ok(hlog::render(report)?));
        put(&self.html, HTML, &|| Ok(html::render(report).into_bytes()));
        if self.shows_table {
            self.streams.out.put(text::render(report));
        }
        let files = [&self.json, &self.hlog, &self.html].into_iter().flatten();
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
