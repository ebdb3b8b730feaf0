//! Logs followed into receivers on the loopback.

use std::time::Duration;

use proto::sink::v1::{self as pb, sink::Target, sink_service_client::SinkServiceClient};
use tests::site::Caller;
use tests::world;
use tonic::Status;

mod delivering;
mod guarding;
mod proving;
mod receiver;
mod surviving;

/// Runs a test on both engines, where sinks may deliver to this machine and write files below the data directory.
macro_rules! with_sinks {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[$meta])*
            async fn body($world: tests::World) $body

            async fn on(engine: tests::Engine) {
                let files = tempfile::tempdir().unwrap();
                let settings = [
                    ("sinks.allow_loopback", "true".to_owned()),
                    ("sinks.file_dir", files.path().display().to_string()),
                ];
                body(tests::World::build(tests::Site::start_with(engine, &settings).await).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                on(tests::Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                on(tests::Engine::Postgres).await;
            }
        }
    )*};
}
use with_sinks;

/// Longest wait for what is delivered beside the calls.
const PATIENCE: Duration = Duration::from_mins(1);

/// Looks until something is so.
async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not so in time: {what}"))
}

fn client(by: &Caller) -> SinkServiceClient<tonic::transport::Channel> {
    SinkServiceClient::new(by.channel.clone())
}

fn webhook(url: &str) -> Target {
    Target::Webhook(pb::Webhook { url: url.to_owned(), ..Default::default() })
}

/// Makes `tenants/acme/sinks/siem`.
async fn create(by: &Caller, target: Target, ca: &str) -> Result<pb::CreateSinkResponse, Status> {
    let sink = pb::Sink {
        display_name: "Our SIEM".to_owned(),
        target: Some(target),
        ca_certificate: ca.to_owned(),
        ..Default::default()
    };
    let request = pb::CreateSinkRequest {
        parent: world::ACME.to_owned(),
        sink_id: "siem".to_owned(),
        sink: Some(sink),
        ..Default::default()
    };
    Ok(client(by).create_sink(by.ask(request)).await?.into_inner())
}

const SIEM: &str = "tenants/acme/sinks/siem";

async fn get(by: &Caller) -> pb::Sink {
    let request = pb::GetSinkRequest { name: SIEM.to_owned() };
    client(by).get_sink(by.ask(request)).await.unwrap().into_inner()
}

async fn pause(by: &Caller) -> Result<pb::Sink, Status> {
    let request =
        pb::PauseSinkRequest { name: SIEM.to_owned(), reason: "works".to_owned(), ..Default::default() };
    Ok(client(by).pause_sink(by.ask(request)).await?.into_inner())
}

async fn resume(by: &Caller) -> Result<pb::Sink, Status> {
    let request = pb::ResumeSinkRequest { name: SIEM.to_owned(), ..Default::default() };
    Ok(client(by).resume_sink(by.ask(request)).await?.into_inner())
}

async fn replay(by: &Caller, from_index: i64) -> Result<pb::Sink, Status> {
    let request = pb::ReplaySinkRequest { name: SIEM.to_owned(), from_index, ..Default::default() };
    Ok(client(by).replay_sink(by.ask(request)).await?.into_inner())
}

/// A sink that has come to the end of the log, and the log up to there.
struct CaughtUp {
    sink: pb::Sink,
    /// Index and id of every event.
    log: Vec<(i64, String)>,
}

impl CaughtUp {
    /// Of what came, that which is in the log up to there: reading it has made it longer.
    fn of(&self, came: Vec<(i64, String)>) -> Vec<(i64, String)> {
        let size = self.log.len();
        came.into_iter().filter(|(index, _)| usize::try_from(*index).unwrap() < size).collect()
    }
}

/// Waits until everything that is in the log now was delivered. Retention has removed nothing.
async fn caught_up(by: &Caller) -> CaughtUp {
    let events = crate::audit::events(by, world::ACME, "time > \"2000-01-01T00:00:00Z\"").await;
    let id = |name: &str| name.rsplit('/').next().unwrap().to_owned();
    let mut log: Vec<_> = events.into_iter().map(|e| (e.index, id(&e.name))).collect();
    log.sort();
    let last = log.last().unwrap().0;
    let sink =
        until("the sink has caught up", async || Some(get(by).await).filter(|sink| sink.next_index > last))
            .await;
    CaughtUp { sink, log }
}
