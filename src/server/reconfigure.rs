//! The changeable settings of a running server, and their replacement.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Server, ServerFailure};
use crate::config::{ConfigError, Settings};
use crate::measure::Retries;
use crate::net::context::{Context, Service};
use crate::net::control::Control;
use crate::net::counters::Counters;
use crate::net::verifier::CheckQueue;
#[cfg(feature = "http")]
use crate::process::Changes;
use crate::process::lock;
use crate::records::Records;
use crate::records::budget::Budget;
use crate::smtp::Policy;
use crate::smtp::rules::{RuleTally, State, Tally};
#[cfg(feature = "http")]
use crate::smtp::{RecordId, rules::Rule};
use crate::stats::{RetryStats, RuleStats};

/// Why a server was not reconfigured. Its settings are unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// A setting has an invalid value.
    Config(ConfigError),
    /// The call would wait for its own thread: it was made by a hook that runs on a reactor thread of the same server
    /// ([`Config::on_reaching`](crate::Config::on_reaching), [`Server::on_failure`]), or by the closure of another
    /// `reconfigure` of it. Let the hook send a message to a thread that makes the call.
    WouldDeadlock,
    /// The server has been stopped.
    Stopped,
    /// The server has failed, which stops it.
    Failed(ServerFailure),
}

impl fmt::Display for ReconfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::WouldDeadlock => f.write_str(
                "a hook on a reactor thread, or the closure of a reconfiguration, can't wait for the reactors of \
                 the same server: reconfigure from another thread",
            ),
            Self::Stopped => f.write_str("the server has been stopped"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for ReconfigureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Failed(failure) => Some(failure),
            Self::WouldDeadlock | Self::Stopped => None,
        }
    }
}

impl From<ConfigError> for ReconfigureError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// A rule with its counts, and when it expires.
#[cfg(feature = "http")]
pub(crate) type ExpiringRule = (RuleStats, Option<std::time::Duration>);

/// The effect of a reconfiguration.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) struct Reconfigured {
    /// The previous rules, with their final counts.
    pub(crate) rules_before: Vec<ExpiringRule>,
    /// The present rules.
    pub(crate) rules: Vec<ExpiringRule>,
    pub(crate) settings: Settings,
}

/// The settings that shards use, and the state of rules and deferred messages that they share.
#[derive(Debug)]
pub(super) struct Serving {
    service: Mutex<Arc<Service>>,
    /// Held during a reconfiguration, from reading the settings until all shards use the new ones.
    reconfiguring: Mutex<()>,
    #[cfg(feature = "http")]
    reconfigurations: Changes,
    pub(super) state: Arc<Mutex<State>>,
    /// Locked before `state`, whose counts of removed rules move here.
    #[cfg(feature = "http")]
    pub(super) removed_rules: Mutex<super::rule_totals::RemovedRules>,
    retries: Arc<Mutex<Retries>>,
    checks: Arc<CheckQueue>,
    /// No shard accepts connections.
    pub(super) is_paused: AtomicBool,
}

impl Serving {
    pub(super) fn new(service: Service) -> Self {
        Self {
            service: Mutex::new(Arc::new(service)),
            reconfiguring: Mutex::default(),
            #[cfg(feature = "http")]
            reconfigurations: Changes::default(),
            state: Arc::default(),
            #[cfg(feature = "http")]
            removed_rules: Mutex::default(),
            retries: Arc::default(),
            checks: Arc::default(),
            is_paused: AtomicBool::new(false),
        }
    }

    pub(super) fn context(&self, records: Records, budget: &Budget, counters: &Arc<Counters>) -> Context {
        let (state, retries) = (Arc::clone(&self.state), Arc::clone(&self.retries));
        Context::new(self.service().of_shard(), records, budget, Arc::clone(counters), state, retries)
            .sharing_checks(Arc::clone(&self.checks))
    }

    pub(super) fn service(&self) -> Arc<Service> {
        Arc::clone(&lock(&self.service))
    }

    /// The counts of all rules in this policy.
    pub(super) fn rules(&self, policy: &Policy) -> Vec<RuleStats> {
        // Sessions wait for this lock.
        let counts = lock(&self.state).totals();
        let stats =
            |RuleTally { id, rule, tally: Tally { reached, fired } }| RuleStats { id, rule, reached, fired };
        policy.tallies(&counts).into_iter().map(stats).collect()
    }

    /// Replaces the service after all shards have stopped using it, and drops the counts of removed rules.
    fn replace(&self, service: &Arc<Service>, before: &Service) {
        #[cfg(feature = "http")]
        let mut removed = lock(&self.removed_rules);
        // Sessions wait for this lock: texts are made outside.
        let (counts, left) = {
            let mut state = lock(&self.state);
            *lock(&self.service) = Arc::clone(service);
            let counts = state.totals();
            service.policy().forget_other_counts(&mut state);
            (counts, state.totals())
        };
        #[cfg(feature = "http")]
        removed.note(before.policy().tallies(&counts), before.policy().tallies(&left));
        #[cfg(not(feature = "http"))]
        drop((before, counts, left));
    }

    pub(super) fn retries(&self) -> RetryStats {
        // Sessions wait for this lock.
        let (mut stats, tentative) = lock(&self.retries).figures();
        tentative.add_to(&mut stats);
        stats
    }
}

thread_local! {
    /// The addresses of the servers that this thread is reconfiguring, the latest at the end. They are borrowed
    /// meanwhile, so that addresses are unique.
    static RECONFIGURING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks this thread as reconfiguring a server until it is dropped.
struct Reconfiguring;

impl Reconfiguring {
    /// `None` if the reconfiguration would wait for its own thread.
    fn begin(server: &Server) -> Option<Self> {
        let address = std::ptr::from_ref(server).addr();
        let is_first = RECONFIGURING.with_borrow_mut(|servers| {
            let is_first = !server.is_on_shard_thread() && !servers.contains(&address);
            if is_first {
                servers.push(address);
            }
            is_first
        });
        // Not `then_some`: a guard that is built and dropped unused would remove the mark of the call around it.
        is_first.then(|| Self)
    }
}

impl Drop for Reconfiguring {
    fn drop(&mut self) {
        RECONFIGURING.with_borrow_mut(Vec::pop);
    }
}

impl Server {
    /// Whether this is the id of one of its records, including removed ones.
    #[cfg(feature = "http")]
    pub(crate) fn has_made(&self, id: RecordId) -> bool {
        id.server == self.tag
    }

    /// The settings that all shards use.
    #[cfg(feature = "http")]
    pub(crate) fn settings(&self) -> Settings {
        self.serving.service().settings().clone()
    }

    /// The added rules, in order, with their counts so far and their expiry; unlike [`Stats::rules`](crate::Stats::rules)
    /// without lists and limits, and without asking the shards.
    #[cfg(feature = "http")]
    pub(crate) fn expiring_rules(&self) -> Vec<ExpiringRule> {
        self.listed_rules(&self.serving.service())
    }

    #[cfg(feature = "http")]
    fn listed_rules(&self, service: &Service) -> Vec<ExpiringRule> {
        let policy = service.policy();
        let expiries = policy.rules().map(Rule::expires_at);
        self.serving.rules(policy).into_iter().zip(expiries).collect()
    }

    /// Counts the reconfigurations of this server.
    #[cfg(feature = "http")]
    pub(crate) fn reconfigurations(&self) -> &Changes {
        &self.serving.reconfigurations
    }

    /// When the first of the rules expires; `None` without expiry.
    #[cfg(feature = "http")]
    pub(crate) fn next_expiry(&self) -> Option<std::time::Duration> {
        self.serving.service().policy().rules().filter_map(Rule::expires_at).min()
    }

    /// Changes settings while the server runs: `change` gets the present [`Settings`] and returns the new ones. Running
    /// sessions use them from their next line. When this returns, all shards use them. No session ends because of it,
    /// and no reply is lost: a delayed or partly written reply is sent as it was decided. A running timeout is
    /// unchanged; later ones have the new length.
    ///
    /// Here, the first mail is accepted, and then the mailbox is full:
    ///
    /// ```
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server, smtp::ReplyKind};
    /// # fn send(smtp: std::net::SocketAddr) -> std::io::Result<String> {
    /// #     use std::io::{Read as _, Write as _};
    /// #     let mail = b"HELO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n.\r\nQUIT\r\n";
    /// #     let mut client = std::net::TcpStream::connect(smtp)?;
    /// #     client.write_all(mail)?;
    /// #     let mut replies = String::new();
    /// #     client.read_to_string(&mut replies).map(|_| replies)
    /// # }
    ///
    /// let server = Server::start(Config::default())?;
    /// send(server.local_addr())?; // accepted
    /// server.wait_for_messages(1, Duration::from_secs(5))?;
    ///
    /// server.reconfigure(|settings| {
    ///     settings
    ///         .blacklisted_rcptto_emails(["bob@example.com"])
    ///         .reply(ReplyKind::RcptBlacklisted, "452 4.2.2 Mailbox full")
    /// })?;
    /// let replies = send(server.local_addr())?;
    /// assert!(replies.contains("452 4.2.2 Mailbox full"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Rules that remain continue their counts. They are identified by their [`id`](crate::smtp::rules::Rule::id) or,
    /// without one, by their text and their position among rules of the same text.
    /// [`Stats::rules`](crate::Stats::rules) lists the present rules; the counts of removed rules are dropped. Retries
    /// of messages deferred before are still recognised.
    ///
    /// Concurrent calls run one after the other, each with the settings of the previous one. A shard that is waiting
    /// for a slow capture applies the new settings when it continues.
    ///
    /// # Errors
    /// The new settings are invalid, the server has stopped or failed, or the call would wait for its own thread. The
    /// settings are then unchanged.
    pub fn reconfigure(&self, change: impl FnOnce(Settings) -> Settings) -> Result<(), ReconfigureError> {
        self.try_reconfigure(|settings| Ok(change(settings)))
    }

    /// As [`reconfigure`](Self::reconfigure), for a change that may fail with any error: then the settings are
    /// unchanged, and the shards are not involved.
    ///
    /// ```
    /// use smtpmock::{Config, ReconfigureError, Server, smtp::rules::Rule};
    ///
    /// let server = Server::start(Config::default())?;
    /// let add = |text: &str| {
    ///     server.try_reconfigure(|settings| -> Result<_, Box<dyn std::error::Error>> {
    ///         let rule: Rule = text.parse()?;
    ///         Ok(settings.rule(rule))
    ///     })
    /// };
    /// add("rcpt reply=\"450 4.2.0 later\"")?;
    /// assert!(add("rcpt replay").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The error of `change`, or one of [`reconfigure`](Self::reconfigure).
    pub fn try_reconfigure<E: From<ReconfigureError>>(
        &self,
        change: impl FnOnce(Settings) -> Result<Settings, E>,
    ) -> Result<(), E> {
        self.exchange(change, |_, _| ())
    }

    /// As [`try_reconfigure`](Self::try_reconfigure), but returns the previous rules with their last counts, and the
    /// present ones.
    #[cfg(feature = "http")]
    pub(crate) fn reconfigure_and_list<E: From<ReconfigureError>>(
        &self,
        change: impl FnOnce(Settings) -> Result<Settings, E>,
    ) -> Result<Reconfigured, E> {
        self.exchange(change, |before, after| Reconfigured {
            rules_before: self.listed_rules(before),
            rules: self.listed_rules(after),
            settings: after.settings().clone(),
        })
    }

    /// Changes settings, and calls `show` with the old and the new ones when all shards use the new ones and the counts
    /// of removed rules still exist.
    fn exchange<T, E: From<ReconfigureError>>(
        &self,
        change: impl FnOnce(Settings) -> Result<Settings, E>,
        show: impl FnOnce(&Service, &Service) -> T,
    ) -> Result<T, E> {
        let turn = self.change_shards()?;
        let before = self.serving.service();
        let settings = change(before.settings().clone())?;
        let replace = || {
            settings.validate_settings()?;
            settings.prepare_rules(self.tls.as_ref())?;
            let service = Arc::new(Service::new(settings, Some(&before)));
            turn.confirm(|control| control.replace(service.of_shard()))?;
            Ok::<_, ReconfigureError>(service)
        };
        let service = replace()?;
        let shown = show(&before, &service);
        self.serving.replace(&service, &before);
        #[cfg(feature = "http")]
        {
            self.serving.reconfigurations.add(1);
            self.serving.reconfigurations.wake();
        }
        Ok(shown)
    }

    /// Begins a change that all shards confirm. Other changes wait until it is over.
    ///
    /// # Errors
    /// It would wait for its own thread.
    pub(super) fn change_shards(&self) -> Result<ShardChange<'_>, ReconfigureError> {
        let reconfiguring = Reconfiguring::begin(self).ok_or(ReconfigureError::WouldDeadlock)?;
        let turn = lock(&self.serving.reconfiguring);
        Ok(ShardChange { server: self, _turn: turn, _reconfiguring: reconfiguring })
    }
}

/// A change that all shards confirm.
pub(super) struct ShardChange<'s> {
    server: &'s Server,
    _turn: MutexGuard<'s, ()>,
    _reconfiguring: Reconfiguring,
}

impl ShardChange<'_> {
    /// Sends the change to all shards, and waits until they have applied it.
    ///
    /// # Errors
    /// The server has stopped or failed.
    pub(super) fn confirm(&self, send: impl Fn(&Control) -> Receiver<()>) -> Result<(), ReconfigureError> {
        let server = self.server;
        if let Some(failure) = server.failure() {
            return Err(ReconfigureError::Failed(failure));
        }
        let confirmations: Vec<_> = server.controls.iter().map(|control| send(control)).collect();
        // A shard that has ended does not confirm.
        let serving = confirmations.iter().filter(|confirmed| confirmed.recv().is_ok()).count();
        // A shard that died has closed its mailbox, and reports the reason a moment later.
        let has_died = server.controls.iter().any(|control| control.has_died());
        let failure = if has_died { Some(server.failure.wait()) } else { server.failure() };
        match failure {
            Some(failure) => Err(ReconfigureError::Failed(failure)),
            None if serving == 0 => Err(ReconfigureError::Stopped),
            None => Ok(()),
        }
    }
}
