//! The end of rules with a `ttl`: one task of the plane's thread sleeps until the first of them expires. When that is stands
//! with the rule itself, so that one that has been replaced, or removed and added again, has its own time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::config::Settings;
use crate::http::Plane;

/// When the clock of all planes of the process began, on which rules expire.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time on that clock.
pub(super) fn now() -> Duration {
    START.elapsed()
}

/// Removes rules when they expire, as long as the server runs.
pub(super) async fn expire(plane: Arc<Plane>) {
    loop {
        let changed = plane.rules_changed.notified();
        let Some(next) = plane.server.next_expiry().map(|at| *START + at) else {
            changed.await;
            continue;
        };
        if timeout_at(next, changed).await.is_ok() {
            continue;
        }
        let server = Arc::clone(&plane.server);
        let remove = move || {
            let now = now();
            server.reconfigure(|settings| {
                let rules: Vec<_> = settings.policy().rules().cloned().collect();
                let stays = |at: Option<Duration>| at.is_none_or(|at| at > now);
                let staying = rules.into_iter().filter(|rule| stays(rule.expires_at()));
                staying.fold(settings.without_rules(), Settings::rule)
            })
        };
        // Removing rules makes no settings invalid: the server has ended.
        if !matches!(plane.desk.ask(remove).await, Ok(Ok(()))) {
            return;
        }
    }
}
