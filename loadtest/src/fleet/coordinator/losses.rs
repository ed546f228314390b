//! Agents that the coordinator does not hear of any more.

use std::time::Duration;

use super::member::Presence;
use super::{Coordinator, Event, LATE_AFTER, LOST_AFTER};

impl Coordinator {
    pub(super) fn look_for_lost(&mut self, now: Duration) {
        let mut lost = Vec::new();
        for member in self.members.iter_mut().filter(|member| !member.is_settled()) {
            let silent = now.saturating_sub(member.heard);
            let presence = match silent {
                silent if silent > LOST_AFTER => Presence::Lost,
                silent if silent > LATE_AFTER => Presence::Late,
                _ => Presence::There,
            };
            if presence == member.presence {
                continue;
            }
            member.presence = presence;
            let name = member.name.clone();
            match presence {
                Presence::Lost => lost.push(name),
                Presence::Late => self.events.push_back(Event::Late(name)),
                Presence::There => self.events.push_back(Event::Back(name)),
            }
        }
        lost.into_iter().for_each(|name| self.lose(name));
    }

    pub(super) fn lose(&mut self, name: String) {
        if self.settings.stops_on_loss {
            let _ = self.stop.get_or_insert(format!("{name} is lost"));
        }
        self.events.push_back(Event::Lost(name));
    }
}
