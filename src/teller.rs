//! What is told of a run: progress, interval logs, reports and verdicts.
//!
//! All of it on a thread of its own: an output that nobody reads holds up no signal.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use smtpmock::Server;
use smtpmock::report::hlog::IntervalLog;
use smtpmock::report::{self, Report};
use smtpmock::stats::Stats;

use crate::cli::Reporting;
use crate::outcome::{Reports, Told, print_report};
use crate::output::{Output, Place, Progress};

/// Progress and interval logs are told of at the full seconds of the server's clock.
const INTERVAL: Duration = Duration::from_secs(1);

enum Order {
    /// The report so far.
    Report,
    /// The server has stopped: all the rest.
    Finish,
}

/// The thread that tells.
pub(crate) struct Teller {
    orders: Sender<Order>,
    thread: JoinHandle<Told>,
}

impl Teller {
    /// Creates the files, and begins. What then can't be told is told to `on_failure`.
    ///
    /// # Errors
    /// A file can't be created, or the system gives no thread.
    pub(crate) fn start(
        server: Arc<Server>,
        reporting: &Reporting,
        settings: Vec<(String, String)>,
        on_failure: impl Fn(String) + Send + 'static,
    ) -> Result<Self, String> {
        let story = Story::begin(server, reporting, settings)?;
        let (orders, received) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("smtpmock-teller".into())
            .spawn(move || story.tell(&received, on_failure))
            .map_err(|error| format!("starting the thread for reports: {error}"))?;
        Ok(Self { orders, thread })
    }

    /// Asks for the report so far.
    pub(crate) fn asker(&self) -> impl Fn() + use<> {
        let orders = self.orders.clone();
        // Only fails when all has been told.
        move || drop(orders.send(Order::Report))
    }

    /// Tells the rest, of a server that has stopped.
    pub(crate) fn finish(self) -> Told {
        let _ = self.orders.send(Order::Finish);
        self.thread.join().unwrap_or_else(|_| Err("the thread for reports failed".to_owned()))
    }
}

/// What is told, and how far.
struct Story {
    server: Arc<Server>,
    settings: Vec<(String, String)>,
    reports: Reports,
    interval_log: Option<(IntervalLog<Output>, Place)>,
    progress: Option<Progress>,
    /// Up to where the intervals were told.
    told: Stats,
    /// Time on the server's clock when it was last looked at.
    now: Duration,
}

impl Story {
    fn begin(
        server: Arc<Server>,
        reporting: &Reporting,
        settings: Vec<(String, String)>,
    ) -> Result<Self, String> {
        let told = server.stats();
        let log = reporting.interval_log.as_deref().map(|path| Output::create("the interval log", path));
        let log = log.transpose()?;
        let started_at = told.started_at.unwrap_or(SystemTime::UNIX_EPOCH);
        let begin_log = |output: Output| {
            let place = output.place.clone();
            let log = IntervalLog::new(output, started_at).map_err(|error| place.error(&error))?;
            Ok::<_, String>((log, place))
        };
        Ok(Self {
            settings,
            reports: Reports::create(reporting)?,
            interval_log: log.map(begin_log).transpose()?,
            progress: reporting.progress.then(Progress::new),
            now: told.ends,
            told,
            server,
        })
    }

    fn tell(mut self, orders: &Receiver<Order>, on_failure: impl Fn(String)) -> Told {
        loop {
            let told = match self.next(orders) {
                Ok(Order::Report) => self.print_report_so_far(),
                Err(RecvTimeoutError::Timeout) => self.tell_interval(),
                Ok(Order::Finish) => return self.finish(),
                // The start failed behind the teller's own: there is no run to tell of.
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
            };
            if let Err(why) = told {
                on_failure(why);
            }
        }
    }

    /// The next order, or that the interval is over.
    fn next(&self, orders: &Receiver<Order>) -> Result<Order, RecvTimeoutError> {
        if !self.tells_intervals() {
            return orders.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        let passed = Duration::from_nanos(self.now.subsec_nanos().into());
        orders.recv_timeout(INTERVAL - passed)
    }

    fn tells_intervals(&self) -> bool {
        self.interval_log.is_some() || self.progress.is_some()
    }

    fn look(&mut self) -> Stats {
        let stats = self.server.stats();
        self.now = stats.ends;
        stats
    }

    fn tell_interval(&mut self) -> Result<(), String> {
        let stats = self.look();
        if !self.tells_intervals() {
            // What nobody is told need not be worked out.
            self.told = stats;
            return Ok(());
        }
        let difference = stats.since(&self.told);
        if let Some(progress) = &self.progress {
            progress.show(&report::progress(&difference, &stats));
        }
        if let Some((mut log, place)) = self.interval_log.take() {
            log.write(&difference).map_err(|error| place.error(&error))?;
            // After a failure there is nothing more to write to.
            self.interval_log = Some((log, place));
        }
        self.told = stats;
        Ok(())
    }

    fn print_report_so_far(&mut self) -> Result<(), String> {
        let stats = self.look();
        if let Some(progress) = &self.progress {
            progress.end();
        }
        print_report(&Report::new(&stats).settings(self.settings.clone()))
    }

    /// As much as can be told, whatever of it can not.
    fn finish(mut self) -> Told {
        let last_interval = self.tell_interval();
        if let Some(progress) = &self.progress {
            progress.end();
        }
        let told = self.reports.tell(Report::new(&self.told).settings(self.settings));
        last_interval.and(told)
    }
}
