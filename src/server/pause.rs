//! Pausing a server: it accepts no connections for a while.

use std::sync::atomic::Ordering;

use super::{ReconfigureError, Server};

impl Server {
    /// Accepts no connections until [`resume`](Self::resume). When this returns, no shard accepts any. Open sessions
    /// continue. A client that connects meanwhile waits in the kernel's backlog: its connection is open, and it is
    /// greeted when accepting resumes. Beyond [`Config::backlog`](crate::Config::backlog) waiting connections, further
    /// ones are not answered, and their clients retry or time out. Has no effect on a server that is paused.
    ///
    /// ```
    /// use std::io::Read as _;
    /// use std::net::TcpStream;
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(Config::default())?;
    /// server.pause()?;
    /// let mut client = TcpStream::connect(server.local_addr())?; // waits for its greeting
    /// server.resume()?;
    /// let mut code = [0; 3];
    /// client.read_exact(&mut code)?;
    /// assert_eq!(&code, b"220");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A stop ends the pause: waiting clients are greeted, and sent 421 like others.
    ///
    /// # Errors
    /// The server has stopped or failed, or the call would wait for its own thread, as in
    /// [`reconfigure`](Self::reconfigure).
    pub fn pause(&self) -> Result<(), ReconfigureError> {
        self.set_paused(true)
    }

    /// Accepts connections again, beginning with those that have waited. Has no effect on a server that is not paused.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&self) -> Result<(), ReconfigureError> {
        self.set_paused(false)
    }

    /// Whether it is [paused](Self::pause).
    pub fn is_paused(&self) -> bool {
        self.serving.is_paused.load(Ordering::Acquire)
    }

    fn set_paused(&self, is_paused: bool) -> Result<(), ReconfigureError> {
        let change = self.change_shards()?;
        change.confirm(|control| control.pause(is_paused))?;
        self.serving.is_paused.store(is_paused, Ordering::Release);
        Ok(())
    }
}
