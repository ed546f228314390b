//! The control plane over real sockets.

mod bodies;
mod events;
mod figures;
mod guard;
mod hostile;
mod inboxes;
mod interface;
mod languages;
mod mailhog;
mod mailpit;
mod mailpit_events;
mod messages;
mod page;
mod rules;
mod running;
mod sessions;
mod settings;
mod waiting;
