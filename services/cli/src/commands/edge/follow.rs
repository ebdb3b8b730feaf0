//! The stream, across broken connections.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use edge::{Content, Disk, MAX_MESSAGE_BYTES, Refused, Signed};
use proto::decision::v1::{
    PolicyPosition, WatchRequest, WatchResponse, decision_service_client::DecisionServiceClient,
};
use tlog::Vkey;
use tokio::time::timeout;
use tonic::{Request, Streaming};

use super::local::Shared;
use crate::{
    client::{Client, Repeat, is_cut},
    console::Console,
    error::{Error, Exit, Result},
};

/// First bound of the pause before a new stream; it doubles with each that brings nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Last bound of that pause.
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A stream that says nothing for so long is broken; the server speaks once a minute at the least.
const SILENCE: Duration = Duration::from_secs(90);
/// Longest wait for a stream to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// With more changes than this many bytes kept, the whole state is asked for.
const MOST_KEPT: u64 = 64 << 20;

/// One tenant that is followed.
pub struct Follow {
    pub client: Client,
    /// `tenants/{tenant}`.
    pub parent: String,
    pub keys: Vec<Vkey>,
    pub shared: Arc<Shared>,
    pub disk: Option<Disk>,
    /// Whether the whole state is needed.
    pub anew: bool,
}

/// How a stream ended.
enum End {
    /// It broke, or the server stopped.
    Cut(String),
    /// A message was not taken.
    Refused(Refused),
    /// The server said no.
    Denied(Error),
}

impl Follow {
    /// Follows for ever; returns only what cannot get better by itself.
    pub async fn run(mut self, console: &mut Console<'_>) -> Error {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.shared.taken();
            let end = match self.begin().await {
                Ok(stream) => self.take(stream, console).await,
                Err(error) => Ok(End::Denied(error)),
            };
            self.shared.connected.store(false, Ordering::Relaxed);
            let end = match end {
                Ok(end) => end,
                Err(error) => return error,
            };
            if self.shared.taken() != before {
                pause = FIRST_PAUSE;
            }
            match end {
                End::Cut(why) => console.note(&format!("the stream ended ({why}); going on where it ended")),
                End::Refused(refused) => {
                    self.shared.refuse(&refused);
                    self.anew = refused.needs_snapshot();
                    console.note(&format!("NOT TAKEN ({}): {refused}", refused.as_str()));
                }
                End::Denied(error) => {
                    let hopeless = !matches!(error.exit(), Exit::UNAVAILABLE | Exit::OTHER);
                    // without any rules there is nothing to wait with
                    if hopeless && self.shared.position().is_none() {
                        return error;
                    }
                    let mut told = Vec::new();
                    error.report(&mut told);
                    console.note(String::from_utf8_lossy(&told).trim_end());
                }
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn begin(&self) -> Result<Streaming<WatchResponse>> {
        let position = self.shared.position().filter(|_| !self.anew);
        let from = position.map(|(store_epoch, revision)| PolicyPosition {
            store_epoch,
            tenant_revision: revision.tenant,
            catalog_revision: revision.catalog,
        });
        let request = WatchRequest { parent: self.parent.clone(), from };
        let begun = self.client.repeated(Repeat::Never, async |link| {
            let most = MAX_MESSAGE_BYTES + (1 << 20);
            let mut client = DecisionServiceClient::new(link).max_decoding_message_size(most);
            Ok(client.watch(Request::new(request.clone())).await?.into_inner())
        });
        self.shared.streams.fetch_add(1, Ordering::Relaxed);
        timeout(PATIENCE, begun).await.unwrap_or(Err(Error::TimedOut { after: PATIENCE }))
    }

    /// Takes messages until the stream ends. An error is one of this machine.
    async fn take(&mut self, mut stream: Streaming<WatchResponse>, console: &mut Console<'_>) -> Result<End> {
        loop {
            let message = match timeout(SILENCE, stream.message()).await {
                Err(_) => return Ok(End::Cut(format!("silent for {} s", SILENCE.as_secs()))),
                Ok(Ok(None)) => return Ok(End::Cut("the server stops".to_owned())),
                Ok(Err(status)) if is_cut(&status) => return Ok(End::Cut(status.message().to_owned())),
                Ok(Err(status)) => return Ok(End::Denied(Error::Api(Box::new(status)))),
                Ok(Ok(Some(message))) => message,
            };
            self.shared.connected.store(true, Ordering::Relaxed);
            let signed = Signed::new(message.note, message.payload);
            let taken = signed.verify(&self.keys, self.shared.tenant()).and_then(|message| {
                self.shared.accept(&message)?;
                Ok(message)
            });
            let message = match taken {
                Ok(message) => message,
                Err(refused) => return Ok(End::Refused(refused)),
            };
            self.anew = false;
            let what = match message.content() {
                Content::Snapshot(_) => Some("all rules".to_owned()),
                Content::Delta(changes) => Some(format!("{} changes", changes.len())),
                Content::Nothing => None,
            };
            if let Some(what) = what {
                let to = message.statement().to;
                let (tenant, catalog, key) = (to.tenant, to.catalog, message.key());
                console.note(&format!("revision {tenant}.{catalog}: {what}, signed by {key}"));
            }
            if let Some(disk) = &mut self.disk {
                disk.keep(&message).map_err(|error| Error::Local(error.to_string()))?;
                if disk.bytes() > MOST_KEPT && matches!(message.content(), Content::Delta(_)) {
                    self.anew = true;
                    return Ok(End::Cut("many changes are kept; asking for all rules".to_owned()));
                }
            }
        }
    }
}

/// A random part of a pause, so that edges do not come back all at once.
fn jittered(bound: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(random % nanos)
}
