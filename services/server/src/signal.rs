//! When to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM (systemd, containers) and SIGINT (Ctrl-C), caught from here on: one that comes before anybody waits for it is
/// not lost, and does not end the process by itself.
pub struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    /// Begins to catch them. Call it before anything is started that must be stopped.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Returns when the process was asked to stop, since [`Stop::listen`].
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
