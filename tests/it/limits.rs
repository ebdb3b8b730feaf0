//! What one caller may hold: a connection that says nothing, a handshake that does not go on, answers that do not end.

use std::time::Duration;

use proto::audit::v1::{
    TailAuditEventsRequest, TailAuditEventsResponse, audit_service_client::AuditServiceClient,
};
use tests::{Engine, Site, World, site::Caller, world};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status, Streaming};

use crate::errors::reason;

/// Longest wait for the server to do what it must.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server closes the connection.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // a reset is an end too
    let _ = end.expect("the connection is still open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_gives_its_place_back() {
    let settings =
        [("server.handshake_timeout_seconds", "1".to_owned()), ("server.max_connections", "2".to_owned())];
    // the site's own channel has the other place
    let world = World::build(Site::start_with(Engine::Sqlite, &settings).await).await;
    closed(TcpStream::connect(world.site.running.address).await.unwrap()).await;
    let endpoint = tonic::transport::Channel::from_shared(world.site.running.url()).unwrap();
    let channel = tokio::time::timeout(PATIENCE, endpoint.connect()).await.unwrap().unwrap();
    // one that has said something may be silent as long as it likes
    world::create_role(&Caller { channel, ..world.owner.clone() }, "banker", "x").await.unwrap();
    world.role("trader").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_a_few_bytes_and_never_asks_gives_its_place_back() {
    let settings = [
        ("server.first_request_timeout_seconds", "2".to_owned()),
        ("server.max_connections", "2".to_owned()),
    ];
    // the site's own channel has the other place, and has asked
    let world = World::build(Site::start_with(Engine::Sqlite, &settings).await).await;
    // of the preface of HTTP/2, of a head of HTTP/1, and a whole preface after which nothing is asked
    for said in
        [&b"PRI * HT"[..], b"GET /healthz HTT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"]
    {
        let mut stream = TcpStream::connect(world.site.running.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        closed(stream).await;
    }
    // whoever asks one thing may then be silent: this connection outlived three that were not
    world.role("trader").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_does_not_go_on_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, _) = crate::server::tls_settings(dir.path());
    let more = [
        ("server.data_dir", dir.path().join("data").display().to_string()),
        ("server.handshake_timeout_seconds", "1".to_owned()),
    ];
    let all: Vec<_> = settings.into_iter().chain(more).collect();
    let telemetry = std::sync::Arc::new(kernel::telemetry::Telemetry::quiet().unwrap());
    let running =
        server::app::start(tests::site::config(&all), kernel::clock::Clock::System, telemetry).await.unwrap();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // the head of a TLS record whose body never comes
    stream.write_all(&[0x16, 0x03, 0x01, 0x01, 0x00]).await.unwrap();
    closed(stream).await;
    running.stop().await;
}

async fn tail(by: &Caller) -> Result<Streaming<TailAuditEventsResponse>, Status> {
    let request =
        TailAuditEventsRequest { parent: world::ACME.to_owned(), filter: String::new(), from_index: 0 };
    Ok(AuditServiceClient::new(by.channel.clone()).tail_audit_events(by.ask(request)).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_go_on_have_a_limit_of_their_own_and_leave_the_others_alone() {
    let limit = [("server.max_streams", "1".to_owned()), ("server.max_concurrent_requests", "1".to_owned())];
    let world = World::build(Site::start_with(Engine::Sqlite, &limit).await).await;
    let mut first = tail(&world.owner).await.unwrap();
    assert!(first.message().await.unwrap().is_some());
    let refused = tail(&world.owner).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    world.role("banker").await;
    drop(first);
    let freed = async {
        while let Err(status) = tail(&world.owner).await {
            assert_eq!(reason(&status), "OVERLOADED");
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the place is free again");
}
