//! MailHog's interface: API v2, and what API v1 has of one message. Its list, `GET /api/v1/messages`, is Mailpit's.

pub(super) fn routes() -> impl Iterator<Item = &'static crate::http::router::Route> {
    std::iter::empty()
}
