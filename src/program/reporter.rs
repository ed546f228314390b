//! Reporting on a run: progress, interval logs, reports and verdicts.
//!
//! It runs on a separate thread; the threads of the outputs write.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use smtpmock::Server;
use smtpmock::output::{self, Gathered, Opening, OutputError, PATIENCE, Progress, Streams, Writer};
use smtpmock::report::hlog::IntervalLog;
use smtpmock::report::{self, Report};
use smtpmock::stats::Stats;

use crate::program::cli::outputs::INTERVAL_LOG;
use crate::program::cli::{Failure, Reporting};
use crate::program::outcome::Reports;

/// Progress and interval logs are written at the full seconds of the server's clock.
const INTERVAL: Duration = Duration::from_secs(1);

/// The result of reporting.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Whether all checks passed.
    pub(crate) passed: bool,
    /// A line for each incomplete output.
    pub(crate) lost: Vec<String>,
}

enum Order {
    /// Write a report of the run so far.
    Report,
    /// Reopen the output files.
    Reopen,
    /// The server has stopped: write the final reports.
    Finish,
}

/// A handle to the thread that reports.
pub(crate) struct Reporter {
    orders: Orders,
    thread: JoinHandle<Finished>,
}

/// Sends orders to the thread.
#[derive(Clone, Debug)]
pub(crate) struct Orders(Sender<Order>);

impl Orders {
    /// Requests a report of the run so far.
    pub(crate) fn report(&self) {
        // Fails only after the final reports.
        let _ = self.0.send(Order::Report);
    }

    /// Requests that output files are reopened by their names.
    pub(crate) fn reopen(&self) {
        let _ = self.0.send(Order::Reopen);
    }
}

impl Reporter {
    /// Empties the outputs and starts the thread. `on_failure` is called when the interval log can no longer be
    /// written.
    ///
    /// # Errors
    /// An output can't be emptied, or the thread can't be started.
    pub(crate) fn start(
        server: Arc<Server>,
        reporting: &Reporting,
        settings: Vec<(String, String)>,
        outputs: Outputs<'_>,
        on_failure: impl Fn(&OutputError) + Send + 'static,
    ) -> Result<Self, Failure> {
        let worker = Worker::begin(server, reporting, settings, outputs, on_failure)?;
        let (orders, received) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("smtpmock-reporter".into())
            .spawn(move || worker.run(&received))
            .map_err(|error| Failure::Server(format!("can't start the thread for reports: {error}")))?;
        Ok(Self { orders: Orders(orders), thread })
    }

    pub(crate) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Writes the final reports of a stopped server and waits until they are written.
    pub(crate) fn finish(self) -> Finished {
        let _ = self.orders.0.send(Order::Finish);
        let failed = |_| Finished { passed: false, lost: vec!["the thread for reports failed".to_owned()] };
        self.thread.join().unwrap_or_else(failed)
    }
}

pub(crate) struct Outputs<'o> {
    pub(crate) opening: &'o mut Opening,
    pub(crate) streams: Streams,
    /// The output for reports on demand.
    pub(crate) text: Writer,
}

/// The state of the thread.
struct Worker {
    server: Arc<Server>,
    settings: Vec<(String, String)>,
    streams: Streams,
    text: Writer,
    reports: Reports,
    interval_log: Option<(IntervalLog<Gathered>, Writer)>,
    progress: Option<Progress>,
    /// The figures at the end of the last reported interval.
    reported: Stats,
    /// Time on the server's clock when the figures were last read.
    now: Duration,
}

impl Worker {
    fn begin(
        server: Arc<Server>,
        reporting: &Reporting,
        settings: Vec<(String, String)>,
        outputs: Outputs<'_>,
        on_failure: impl Fn(&OutputError) + Send + 'static,
    ) -> Result<Self, Failure> {
        let Outputs { opening, streams, text } = outputs;
        let reported = server.stats();
        let log = opening.take(INTERVAL_LOG).map(|output| Writer::start(output, on_failure)).transpose()?;
        let begin_log = |writer: Writer| {
            let log = IntervalLog::new(Gathered::new(writer.clone()), start(&reported));
            log.map(|log| (log, writer))
                .map_err(|error| Failure::Server(format!("can't begin {INTERVAL_LOG}: {error}")))
        };
        Ok(Self {
            settings,
            reports: Reports::start(reporting, opening, &streams)?,
            interval_log: log.map(begin_log).transpose()?,
            progress: (reporting.progress && !reporting.is_quiet).then(|| Progress::new(streams.err.clone())),
            now: reported.ends,
            streams,
            text,
            reported,
            server,
        })
    }

    fn run(mut self, orders: &Receiver<Order>) -> Finished {
        loop {
            match self.next(orders) {
                Ok(Order::Report) => self.report_so_far(),
                Ok(Order::Reopen) => self.reopen(),
                Err(RecvTimeoutError::Timeout) => self.report_interval(),
                Ok(Order::Finish) => return self.finish(),
                // The program failed to start after the reporter was started: there is no run to report.
                Err(RecvTimeoutError::Disconnected) => return Finished::default(),
            }
        }
    }

    /// The next order, or `Timeout` at the end of the interval.
    fn next(&self, orders: &Receiver<Order>) -> Result<Order, RecvTimeoutError> {
        if !self.reports_intervals() {
            return orders.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        let passed = Duration::from_nanos(self.now.subsec_nanos().into());
        orders.recv_timeout(INTERVAL - passed)
    }

    fn reports_intervals(&self) -> bool {
        self.interval_log.is_some() || self.progress.is_some()
    }

    fn look(&mut self) -> Stats {
        let stats = self.server.stats();
        self.now = stats.ends;
        stats
    }

    fn report_interval(&mut self) {
        let stats = self.look();
        if self.reports_intervals() {
            let difference = stats.since(&self.reported);
            if let Some(progress) = &self.progress {
                progress.show(&report::progress(&difference, &stats));
            }
            if let Some((log, writer)) = &mut self.interval_log
                && let Err(error) = log.write(&difference)
            {
                writer.fail(error);
            }
        }
        self.reported = stats;
    }

    /// Reopens the output files; a new interval log begins with a header.
    fn reopen(&mut self) {
        let mut head = Vec::new();
        if let Some((_, writer)) = &self.interval_log
            && IntervalLog::new(&mut head, start(&self.reported)).is_ok()
        {
            writer.reopen(head);
        }
        self.reports.writers().for_each(|writer| writer.reopen([]));
    }

    fn report_so_far(&mut self) {
        let stats = self.look();
        if let Some(progress) = &self.progress {
            progress.end();
        }
        self.text.put(Report::new(&stats).settings(self.settings.clone()).text());
    }

    /// Writes the final reports; a failing output does not prevent the others.
    fn finish(mut self) -> Finished {
        self.report_interval();
        if let Some(progress) = &self.progress {
            progress.end();
        }
        let passed = self.reports.write(Report::new(&self.reported).settings(self.settings));
        let log = self.interval_log.iter().map(|(_, writer)| writer);
        let lost =
            output::finish(self.reports.writers().chain(log).chain(self.streams.out_alone()), PATIENCE);
        Finished { passed, lost }
    }
}

fn start(stats: &Stats) -> SystemTime {
    stats.started_at.unwrap_or(SystemTime::UNIX_EPOCH)
}
