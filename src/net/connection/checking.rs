//! A check that runs on another thread, on which a reply depends.

use super::{Connection, Fate, Phase, Transport};
use crate::net::context::Context;
use crate::net::resources::Resources;
use crate::smtp::auth::{Check, Checked};

impl<T: Transport> Connection<T> {
    /// Waits for a check. Nothing else of the session happens meanwhile.
    pub(super) fn await_check(&mut self, context: &Context, resources: &mut Resources, check: Box<Check>) {
        resources.checks.push((self.token, check));
        self.phase = Phase::Checking { since: resources.now };
        self.deadline = resources.now.after(context.hold_limit);
    }

    /// A check has run. The session may have been ended meanwhile.
    pub(in crate::net) fn on_checked(
        &mut self,
        checked: Checked,
        context: &Context,
        resources: &mut Resources,
    ) -> Fate {
        if let Phase::Checking { since } = self.phase {
            self.phase = Phase::Open;
            let progress = self.environ(context, resources.now, |session, environment| {
                session.resume(context.policy(), environment, checked)
            });
            self.expects = progress.expects;
            if let Some(step) = progress.step {
                self.follow_since(context, resources, step, since);
            }
        }
        self.run(context, resources)
    }
}
