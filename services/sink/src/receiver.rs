//! The other side: one sender for each kind of sink.

use std::time::Duration;

use audit::https::Client;
use kernel::{Kernel, Result, clock::Time, config::Sinks};

use crate::{
    message::Message,
    model::Armed,
    target::{Target, reach},
};

mod file;
mod http;
mod otlp;
mod splunk;
mod syslog;
mod webhook;

pub use file::Files;

/// Longest wait for an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Most of a receiver's words that are kept, characters.
const WORDS: usize = 200;

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has all of it.
    Taken,
    /// Not now: it was away, overloaded, or does not know us; the same may go well later.
    Again {
        /// What it said.
        why: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// It will not take this, however often it is asked.
    Refused(String),
    /// It wants nothing from us any more.
    Gone(String),
}

impl Outcome {
    /// Not now, in words.
    pub fn again(why: impl std::fmt::Display) -> Self {
        Self::Again { why: clipped(&why.to_string()), after: None }
    }
}

/// The first of a receiver's words, on one line.
fn clipped(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect()
}

/// A sender that is ready.
pub enum Receiver {
    /// Standard Webhooks.
    Webhook(webhook::Webhook),
    /// HTTP Event Collector.
    Splunk(splunk::Splunk),
    /// Syslog over TLS.
    Syslog(syslog::Syslog),
    /// Files.
    Files(Files),
    /// OTLP/HTTP.
    Otlp(otlp::Otlp),
}

impl Receiver {
    /// Makes the sender of a sink.
    pub fn new(kernel: &Kernel, armed: &Armed) -> Result<Self> {
        let settings: &Sinks = &kernel.config.sinks;
        let client = || Client::guarded(reach(settings), &armed.sink.ca_certificate);
        let secret = &armed.secret;
        Ok(match &armed.sink.target {
            Target::Webhook { url, .. } => Self::Webhook(webhook::Webhook::new(client()?, url, secret)?),
            Target::SplunkHec { url, index } => {
                Self::Splunk(splunk::Splunk::new(client()?, url, index, secret.text()))
            }
            Target::Syslog { .. } => Self::Syslog(syslog::Syslog::new(settings, &armed.sink)?),
            Target::File { directory, max_bytes, max_files } => {
                Self::Files(Files::new(&settings.file_dir, &armed.sink, directory, *max_bytes, *max_files))
            }
            Target::Otlp { url, header } => {
                Self::Otlp(otlp::Otlp::new(client()?, url, header, secret.text()))
            }
        })
    }

    /// Most messages in one sending.
    pub fn most(&self) -> usize {
        match self {
            Self::Webhook(_) => 1,
            Self::Splunk(_) | Self::Otlp(_) => 200,
            Self::Syslog(_) | Self::Files(_) => 500,
        }
    }

    /// Sends messages, at most [`Receiver::most`] of them: all or, as far as the receiver lets us know, nothing is taken.
    pub async fn send(&self, batch: &[Message], now: Time) -> Outcome {
        match self {
            Self::Webhook(webhook) => webhook.send(batch, now).await,
            Self::Splunk(splunk) => splunk.send(batch).await,
            Self::Syslog(syslog) => syslog.send(batch).await,
            Self::Files(files) => files.send(batch).await,
            Self::Otlp(otlp) => otlp.send(batch, now).await,
        }
    }

    /// Tries the sink out with what is no event. Files are not written to.
    pub async fn test(&self, message: Message, now: Time) -> Outcome {
        match self {
            Self::Files(files) => files.test().await,
            other => other.send(&[message], now).await,
        }
    }
}
