//! Performs the dialogue of a transcript with a server over real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::client::Client;
use super::transcript::{Case, ClientEnd, Step};
use super::waiting::now;

/// If a pause takes this much longer than planned, a dialogue that depends on it is invalid.
const STRETCH: Duration = Duration::from_millis(150);
/// Recorded delays are rounded to whole seconds.
const ROUNDING: Duration = Duration::from_millis(500);

/// How a dialogue failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    /// This machine was too busy to keep to the dialogue's pauses, so that its timeouts prove nothing.
    pub(crate) is_void: bool,
}

struct Line {
    client: Option<Client>,
    /// When the client last sent octets, or connected.
    sent: Instant,
}

/// Sends the case's octets and compares the replies. Everything that the server sends is read.
pub(crate) fn perform(case: &Case, address: SocketAddr) -> Result<(), Failure> {
    let mut lines: BTreeMap<usize, Line> = BTreeMap::new();
    let mut stretched = false;
    for (number, step) in case.steps.iter().enumerate() {
        let line = lines
            .entry(step.connection)
            .or_insert_with(|| Line { client: Some(Client::connect(address)), sent: now() });
        let start = now();
        let result = perform_step(step, line);
        stretched |= start.elapsed() > planned(step) + STRETCH;
        result.map_err(|what| Failure {
            what: format!("step {number}: {what}"),
            is_void: stretched && case.session_timeout().is_some(),
        })?;
    }
    for client in lines.values_mut().filter_map(|line| line.client.as_mut()) {
        client.half_close();
        let rest = client.try_rest().map_err(|error| Failure { what: error.to_string(), is_void: false })?;
        if !rest.is_empty() {
            let what = format!("unexpected further replies: {:?}", String::from_utf8_lossy(&rest));
            return Err(Failure { what, is_void: stretched && case.session_timeout().is_some() });
        }
    }
    Ok(())
}

fn planned(step: &Step) -> Duration {
    step.delay.max(step.wait.unwrap_or_default())
}

fn perform_step(step: &Step, line: &mut Line) -> Result<(), String> {
    let Some(client) = line.client.as_mut() else {
        return Err("the connection is closed".into());
    };
    if !step.send.is_empty() {
        line.sent = now();
    }
    for piece in step.send.chunks(step.split.unwrap_or(usize::MAX)) {
        client.try_send(piece).map_err(|error| format!("sending: {error}"))?;
    }
    match step.end {
        ClientEnd::StaysOpen => {}
        ClientEnd::HalfCloses => client.half_close(),
        ClientEnd::ClosesUnread => {
            line.client.take().into_iter().for_each(Client::leave);
            return Ok(());
        }
    }
    hear(step, client)?;
    if line.sent.elapsed() + ROUNDING < step.delay {
        return Err(format!("arrived after {:?}, expected {:?}", line.sent.elapsed(), step.delay));
    }
    if step.server_closed {
        line.client = None;
    }
    Ok(())
}

fn hear(step: &Step, client: &mut Client) -> Result<(), String> {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let expected = step.expected();
    let heard = client.exactly(expected.len())?;
    if heard != expected {
        return Err(format!("expected {:?}, got {:?}", show(&expected), show(&heard)));
    }
    if step.server_closed {
        let rest = client.try_rest().map_err(|error| format!("instead of the close: {error}"))?;
        return if rest.is_empty() { Ok(()) } else { Err(format!("then {:?}", show(&rest))) };
    }
    match step.wait {
        Some(wait) if expected.is_empty() => client.silence(wait),
        _ => Ok(()),
    }
}
