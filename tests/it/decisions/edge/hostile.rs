//! A control plane that is not to be trusted: what it strips, swaps, cuts, sends again or takes from another tenant.

use std::sync::Arc;

use proto::decision::v1::{
    self as pb, WatchResponse,
    decision_service_server::{DecisionService, DecisionServiceServer},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};
use tokio_stream::{
    StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, async_trait, transport::Server};

use super::*;

type Said = Result<WatchResponse, Status>;

/// The newest stream, if it has not been made to end.
type Open = Arc<Mutex<Option<mpsc::Sender<Said>>>>;

/// Says what it is told to.
struct Hostile(Open);

/// Puts words into its mouth.
struct Mouth {
    open: Open,
    url: String,
}

impl Mouth {
    async fn new() -> Self {
        let open = Open::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = DecisionServiceServer::new(Hostile(Arc::clone(&open)));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { open, url }
    }

    /// Says it as soon as the edge listens; with `ending`, as the last on that stream.
    async fn say(&self, message: WatchResponse, ending: bool) {
        let listens = tokio::time::timeout(PATIENCE, async {
            loop {
                let mut open = self.open.lock().await;
                let stream = if ending { open.take() } else { open.clone() };
                drop(open);
                match stream {
                    Some(stream) => return stream,
                    None => tokio::task::yield_now().await,
                }
            }
        });
        listens.await.unwrap().send(Ok(message)).await.unwrap();
    }
}

#[async_trait]
impl DecisionService for Hostile {
    type WatchStream = ReceiverStream<Said>;

    async fn watch(&self, _: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (to, from) = mpsc::channel(1);
        *self.0.lock().await = Some(to);
        Ok(Response::new(ReceiverStream::new(from)))
    }

    async fn get_decision_keys(
        &self,
        _: Request<pb::GetDecisionKeysRequest>,
    ) -> Result<Response<pb::DecisionKeys>, Status> {
        Err(Status::unimplemented("it says only what it is told to"))
    }

    async fn check(&self, _: Request<pb::CheckRequest>) -> Result<Response<pb::Decision>, Status> {
        Err(Status::unimplemented("it says only what it is told to"))
    }

    async fn batch_check(
        &self,
        _: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        Err(Status::unimplemented("it says only what it is told to"))
    }

    async fn list_usable(
        &self,
        _: Request<pb::ListUsableRequest>,
    ) -> Result<Response<pb::ListUsableResponse>, Status> {
        Err(Status::unimplemented("it says only what it is told to"))
    }

    async fn list_principals(
        &self,
        _: Request<pb::ListPrincipalsRequest>,
    ) -> Result<Response<pb::ListPrincipalsResponse>, Status> {
        Err(Status::unimplemented("it says only what it is told to"))
    }

    async fn explain(&self, _: Request<pb::ExplainRequest>) -> Result<Response<pb::Explanation>, Status> {
        Err(Status::unimplemented("it says only what it is told to"))
    }
}

/// What the real control plane sends first to whoever begins to follow a tenant.
async fn genuine(house: &House, tenant: &str) -> WatchResponse {
    let request = pb::WatchRequest { parent: format!("tenants/{tenant}"), from: None };
    let mut client = DecisionServiceClient::new(house.admin.channel.clone());
    let mut stream = client.watch(house.admin.ask(request)).await.unwrap().into_inner();
    stream.next().await.unwrap().unwrap()
}

/// How many messages were refused, and for what.
async fn refused(edge: &Edge, reason: &str) -> u64 {
    let text = web::get(&format!("{}/metrics", edge.asker.url)).await.text();
    let line = text.lines().find(|line| line.contains(&format!("reason=\"{reason}\"")));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

/// Says it, waits until the edge has refused it for that, and sees that the edge answers as it did.
async fn is_refused(edge: &Edge, mouth: &Mouth, message: WatchResponse, reason: &str, answers: &str) {
    let before = refused(edge, reason).await;
    mouth.say(message, true).await;
    let waiting = tokio::time::timeout(PATIENCE, async {
        while refused(edge, reason).await == before {
            tokio::task::yield_now().await;
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("it was not refused for {reason}"));
    assert_eq!(edge.why().await.1, answers, "after {reason}");
}

/// Says it, and waits until the edge answers by it.
async fn is_taken(edge: &Edge, mouth: &Mouth, message: WatchResponse, answers: &str) {
    let taken = async || {
        let text = web::get(&format!("{}/metrics", edge.asker.url)).await.text();
        let line = text.lines().find(|line| line.starts_with("provost_edge_messages_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = taken().await;
    mouth.say(message, false).await;
    let waiting = tokio::time::timeout(PATIENCE, async {
        while taken().await == before {
            tokio::task::yield_now().await;
        }
    });
    waiting.await.unwrap();
    assert_eq!(edge.why().await.1, answers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stripped_swapped_cut_replayed_or_foreign_message_is_refused_and_changes_no_answer() {
    let house = House::open(&[]).await;
    world::tenant(&house.admin, "globex", world::NORTHWIND).await.unwrap();
    let mouth = Mouth::new().await;
    let edge = Edge::start(house.dir.path(), &mouth.url, &[]);
    let stripped = |message: WatchResponse| {
        let note = String::from_utf8(message.note).unwrap();
        let (text, _) = note.split_once("\n\n").unwrap();
        WatchResponse { note: format!("{text}\n\n").into_bytes(), ..message }
    };
    let cut = |mut message: WatchResponse| {
        message.payload.truncate(message.payload.len() / 2);
        message
    };
    // without anything good it denies everything
    let first = genuine(&house, "acme").await;
    is_refused(&edge, &mouth, stripped(first.clone()), "SIGNATURE", "POLICY_UNAVAILABLE").await;
    is_taken(&edge, &mouth, genuine(&house, "acme").await, "ALLOWED").await;
    let foreign = genuine(&house, "globex").await;
    let swapped = WatchResponse { payload: foreign.payload.clone(), ..genuine(&house, "acme").await };
    for (message, reason) in [
        (stripped(genuine(&house, "acme").await), "SIGNATURE"),
        (swapped, "PAYLOAD"),
        (cut(genuine(&house, "acme").await), "PAYLOAD"),
        (foreign, "TENANT"),
        (first, "OLD"),
    ] {
        is_refused(&edge, &mouth, message, reason, "ALLOWED").await;
        is_taken(&edge, &mouth, genuine(&house, "acme").await, "ALLOWED").await;
    }
    // what was good before a withdrawal brings nothing back after it
    let before = genuine(&house, "acme").await;
    market::stage(&house.admin, "kit", Stage::Withdrawn).await.unwrap();
    is_taken(&edge, &mouth, genuine(&house, "acme").await, "WITHDRAWN").await;
    is_refused(&edge, &mouth, before, "OLD", "WITHDRAWN").await;
}
