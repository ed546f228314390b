//! MailHog's interface: API v2, and those parts of API v1 that concern one message, as views of the same messages and rules that
//! `/v1` shows. The list and the deletion of all, at `/api/v1/messages`, are Mailpit's.

mod jim;
mod messages;
mod view;

use crate::http::route::Route;

const RESOURCES: &[&[Route]] = &[messages::ROUTES, jim::ROUTES];

/// All routes.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    RESOURCES.iter().flat_map(|routes| routes.iter())
}
