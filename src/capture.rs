//! The capture: every finished record as a JSON line.

/// How much of each record the capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureContent {
    /// Everything, the message text included.
    #[default]
    Message,
    /// Everything but the message text.
    Envelope,
}
