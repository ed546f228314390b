//! The expiry of rules with a `ttl`: one task of the plane's thread sleeps until the first of them expires. The rule itself has
//! the time, so that a rule that was replaced, or removed and added again, has its own.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::http::Plane;
use crate::server::ReconfigureError;

/// Zero of the clock on which rules expire, for all planes of the process.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time on that clock.
pub(super) fn now() -> Duration {
    START.elapsed()
}

enum Unchanged {
    /// A request has removed or replaced the rule that was to expire.
    NoneExpired,
    Ended,
}

impl From<ReconfigureError> for Unchanged {
    fn from(_: ReconfigureError) -> Self {
        Self::Ended
    }
}

/// Removes rules when they expire, as long as the server runs.
pub(super) async fn expire(plane: Arc<Plane>) {
    loop {
        // The server counts every reconfiguration, of requests and of the library, whether or not the caller waits for the
        // answer.
        let changes = plane.server.reconfigurations();
        let changed = changes.after(changes.count());
        let Some(next) = plane.server.next_expiry().and_then(|at| START.checked_add(at)) else {
            changed.await;
            continue;
        };
        if timeout_at(next, changed).await.is_ok() {
            continue;
        }
        let server = Arc::clone(&plane.server);
        let remove = move || {
            let now = now();
            server.try_reconfigure(|settings| {
                let mut rules: Vec<_> = settings.policy().rules().cloned().collect();
                let count = rules.len();
                rules.retain(|rule| rule.expires_at().is_none_or(|at| at > now));
                match rules.len() < count {
                    true => Ok(settings.rules(rules)),
                    false => Err(Unchanged::NoneExpired),
                }
            })
        };
        match plane.desk.ask(remove).await {
            Ok(Ok(()) | Err(Unchanged::NoneExpired)) => {}
            // Removing rules makes no settings invalid: the server has ended.
            Ok(Err(Unchanged::Ended)) | Err(_) => return,
        }
    }
}
