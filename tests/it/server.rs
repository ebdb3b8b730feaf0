//! The port: limits, load, health, protocols, shutdown.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use proto::role::v1::{self as role, role_service_client::RoleServiceClient};
use tests::{Engine, Site, World, both_engines, http as web, postgres::Postgres, site::Caller, world};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::errors::reason;

async fn health(site: &Site, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(site.channel.clone()).check(request).await.unwrap().into_inner().status()
}

both_engines! {
    async fn every_service_is_serving(site: Site) {
        for service in ["", "provost.role.v1.RoleService", "provost.decision.v1.DecisionService"] {
            assert_eq!(health(&site, service).await, ServingStatus::Serving, "{service}");
        }
        assert_eq!(web::get(&format!("{}/healthz", site.running.url())).await.status, 200);
        assert_eq!(web::get(&format!("{}/readyz", site.running.url())).await.status, 200);
    }

    async fn a_ten_megabyte_message_is_refused_and_the_connection_lives_on(site: Site) {
        let world = World::build(site).await;
        let status = world::create_role(&world.owner, "banker", &"x".repeat(10_000_000)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "LIMIT_EXCEEDED"));
        world.role("banker").await;
    }

    async fn measurements_are_there_to_be_scraped(site: Site) {
        let world = World::build(site).await;
        world.role("banker").await;
        let text = web::get(&format!("{}/metrics", world.site.running.url())).await.text();
        let line = text.lines().find(|l| l.starts_with("rpc_server_duration_seconds_count") && l.contains("CreateRole"));
        assert!(line.is_some_and(|l| l.contains("code=\"OK\"")), "{text}");
        // a path that nobody serves does not become a label of its own
        web::get(&format!("{}/whatever/123", world.site.running.url())).await;
        assert!(!web::get(&format!("{}/metrics", world.site.running.url())).await.text().contains("whatever"));
    }

    async fn a_caller_without_time_left_gets_a_deadline_and_nothing_changes(site: Site) {
        let world = World::build(site).await;
        let mut request = world.owner.ask(role::CreateRoleRequest {
            parent: world::ACME.to_owned(),
            role_id: "banker".to_owned(),
            role: Some(role::Role { display_name: "x".to_owned(), ..Default::default() }),
            ..Default::default()
        });
        request.metadata_mut().insert("grpc-timeout", "1n".parse().unwrap());
        let status = RoleServiceClient::new(world.owner.channel.clone()).create_role(request).await.unwrap_err();
        // the client's own clock may run out first; then the server's answer is not seen
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        // the turn that was given up does not stand in the next one's way
        world.role("trader").await;
    }

    async fn grpc_web_is_served_on_the_same_port(site: Site) {
        let world = World::build(site).await;
        let body: Bytes = [0_u8, 0, 0, 0, 0].to_vec().into();
        let url = format!("{}/provost.token.v1.TokenService/WhoAmI", world.site.running.url());
        let bearer = format!("Bearer {}", world.owner.secret);
        let headers = [("content-type", "application/grpc-web+proto"), ("authorization", bearer.as_str())];
        let answer = web::send(Method::POST, &url, &headers, body).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("tenants/acme/principals/owner"), "{}", answer.text());
        assert!(answer.text().contains("grpc-status:0") || answer.text().contains("grpc-status: 0"));
    }

    async fn the_contract_is_served_by_reflection(site: Site) {
        use tonic_reflection::pb::v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = ServerReflectionRequest { host: String::new(), message_request: Some(MessageRequest::ListServices(String::new())) };
        let mut client = ServerReflectionClient::new(site.channel.clone());
        let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
        let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response else {
            panic!("no list")
        };
        assert!(list.service.iter().any(|s| s.name == "provost.role.v1.RoleService"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_beyond_the_limit_is_shed_with_a_time_to_come_back() {
    use tonic_types::StatusExt as _;
    let limit = [("server.max_concurrent_requests", "1".to_owned())];
    let world = World::build(Site::start_with(Engine::Sqlite, &limit).await).await;
    let calls: Vec<_> = (0..64)
        .map(|n| {
            let owner = world.owner.clone();
            tokio::spawn(async move { world::create_role(&owner, &format!("r{n}"), "x").await })
        })
        .collect();
    let (mut done, mut shed) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => done += 1,
            Err(status) => {
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::ResourceExhausted, "OVERLOADED")
                );
                assert!(status.get_error_details().retry_info().is_some());
                shed += 1;
            }
        }
    }
    assert!(done >= 1 && shed >= 1, "{done} done, {shed} shed");
    // what watches us is never shed, and the shedding is counted
    let text = web::get(&format!("{}/metrics", world.site.running.url())).await.text();
    assert!(
        text.contains(&format!("rpc_server_shed_total {shed}")) || text.contains("rpc_server_shed_total{"),
        "{text}"
    );
}

/// Waits until the server says that of itself.
pub async fn becomes(site: &Site, status: ServingStatus) {
    let asking = async {
        while health(site, "provost.role.v1.RoleService").await != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), asking).await.unwrap_or_else(|_| panic!("not {status:?}"));
}

/// Creates roles until a call fails; the names of those that were acknowledged.
async fn create_until_it_fails(by: Caller, prefix: String, made: Arc<AtomicUsize>) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        match world::create_role(&by, &format!("{prefix}-{}", names.len()), "x").await {
            Ok(role) => names.push(role.name),
            Err(status) => {
                // nobody gets an unexplained failure
                let told = (status.code(), reason(&status));
                assert_eq!(told, (Code::Unavailable, "DATABASE_UNAVAILABLE".to_owned()), "{status:?}");
                assert!(status.message().contains("may or may not"), "{}", status.message());
                return names;
            }
        }
        made.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_in_mid_request_is_told_and_what_was_acknowledged_is_there_when_it_is_back()
{
    let mut server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let url = server.template_url();
    let settings = tests::site::config(&[("database.url", url.clone())]);
    kernel::db::Db::open(&settings).await.unwrap().migrate().await.unwrap();
    let clock = kernel::clock::Clock::manual(kernel::clock::Time::parse("t", tests::site::START).unwrap());
    let short = [("database.acquire_timeout_seconds", "1".to_owned())];
    let site = Site::on(Engine::Postgres, Arc::new(tempfile::tempdir().unwrap()), url, clock, &short).await;
    let world = World::build(site).await;
    let before = world.role("banker").await;
    let made = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..8)
        .map(|n| tokio::spawn(create_until_it_fails(world.owner.clone(), format!("r{n}"), Arc::clone(&made))))
        .collect();
    while made.load(Ordering::SeqCst) < 40 {
        tokio::task::yield_now().await;
    }
    let crash = move || {
        server.crash();
        server
    };
    let mut server = tokio::task::spawn_blocking(crash).await.unwrap();
    let mut acknowledged = BTreeSet::from([before.name.clone()]);
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    let ask = role::GetRoleRequest { name: before.name };
    let status =
        RoleServiceClient::new(world.owner.channel.clone()).get_role(world.owner.ask(ask)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    becomes(&world.site, ServingStatus::NotServing).await;
    assert_eq!(web::get(&format!("{}/readyz", world.site.running.url())).await.status, 503);

    let again = move || {
        server.again();
        server
    };
    let _server = tokio::task::spawn_blocking(again).await.unwrap();
    becomes(&world.site, ServingStatus::Serving).await;
    // connections of before are found dead one by one
    let mut n = 0;
    let after = async {
        loop {
            match world::create_role(&world.owner, &format!("after-{n}"), "x").await {
                Ok(role) => return role.name,
                Err(status) => assert_eq!(reason(&status), "DATABASE_UNAVAILABLE"),
            }
            n += 1;
        }
    };
    acknowledged.insert(tokio::time::timeout(Duration::from_mins(1), after).await.expect("it works again"));
    let present = crate::process::roles(&world.owner).await;
    let events = crate::audit::events(&world.owner, world::ACME, "action = \"role.create\"").await;
    let recorded: BTreeSet<_> = events.into_iter().flat_map(|e| e.targets).collect();
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(present, recorded);
}

/// Settings for TLS with a fresh certificate, and the certificate to trust.
pub fn tls_settings(dir: &std::path::Path) -> ([(&'static str, String); 2], String) {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let text = std::fs::read_to_string(&cert).unwrap();
    let settings = [
        ("server.tls_cert_file", cert.display().to_string()),
        ("server.tls_key_file", key.display().to_string()),
    ];
    (settings, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_speaks_tls_when_configured_and_plain_text_gets_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, certificate) = tls_settings(dir.path());
    let data = [("server.data_dir", dir.path().join("data").display().to_string())];
    let all: Vec<_> = settings.into_iter().chain(data).collect();
    let telemetry = Arc::new(kernel::telemetry::Telemetry::quiet().unwrap());
    let running =
        server::app::start(tests::site::config(&all), kernel::clock::Clock::System, telemetry).await.unwrap();
    assert!(running.url().starts_with("https://"));
    let trust = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(&certificate))
        .domain_name("localhost");
    let endpoint = tonic::transport::Channel::from_shared(running.url()).unwrap();
    let channel = endpoint.clone().tls_config(trust).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let plain = tonic::transport::Channel::from_shared(format!("http://{}", running.address)).unwrap();
    if let Ok(channel) = plain.connect().await {
        assert!(HealthClient::new(channel).check(request).await.is_err());
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_certificate_stops_the_start_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (mut settings, _) = tls_settings(dir.path());
    settings[0].1 = "/nonexistent/cert.pem".to_owned();
    let data = [("server.data_dir", dir.path().join("data").display().to_string())];
    let all: Vec<_> = settings.into_iter().chain(data).collect();
    let telemetry = Arc::new(kernel::telemetry::Telemetry::quiet().unwrap());
    let outcome =
        server::app::start(tests::site::config(&all), kernel::clock::Clock::System, telemetry).await;
    let error = outcome.err().unwrap().to_string();
    assert!(error.contains("/nonexistent/cert.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_beyond_the_limit_waits_until_one_closes() {
    let limit = [("server.max_connections", "2".to_owned())];
    // the site's own channel is the first
    let site = Site::start_with(Engine::Sqlite, &limit).await;
    let endpoint = tonic::transport::Channel::from_shared(site.running.url()).unwrap();
    let second = endpoint.connect().await.unwrap();
    let request = || HealthCheckRequest { service: String::new() };
    HealthClient::new(second.clone()).check(request()).await.unwrap();
    let waiting = tokio::spawn({
        let endpoint = endpoint.clone();
        async move {
            let channel = endpoint.connect().await.unwrap();
            HealthClient::new(channel).check(request()).await.unwrap();
        }
    });
    let early = tokio::time::timeout(Duration::from_millis(300), async {
        while !waiting.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(early.is_err(), "a third connection was served beside two");
    drop(second);
    waiting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_are_finished_before_the_server_is_gone() {
    for engine in Engine::BOTH {
        let world = World::build(Site::start(engine).await).await;
        let calls: Vec<_> = (0..32)
            .map(|n| {
                let owner = world.owner.clone();
                tokio::spawn(async move { world::create_role(&owner, &format!("r{n}"), "x").await })
            })
            .collect();
        // one of them has been answered: the others are under way
        let names = world.role("probe").await.name;
        let secret = world.owner.secret.clone();
        let (engine, dir, url, clock) = world.site.stop().await;
        let mut acknowledged = vec![names];
        for call in calls {
            match call.await.unwrap() {
                Ok(role) => acknowledged.push(role.name),
                // refused at the door of a closing connection, not cut off half-way
                Err(status) => assert!(
                    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown),
                    "{status:?}"
                ),
            }
        }
        let again = Site::on(engine, dir, url, clock, &[]).await;
        let owner = again.caller(&secret);
        let mut client = RoleServiceClient::new(owner.channel.clone());
        for name in acknowledged {
            client.get_role(owner.ask(role::GetRoleRequest { name })).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_there_after_a_restart() {
    for engine in Engine::BOTH {
        let world = World::build(Site::start(engine).await).await;
        let role = world.role("banker").await;
        let secret = world.owner.secret.clone();
        drop(world.admin);
        let (engine, dir, url, clock) = world.site.stop().await;
        let again = Site::on(engine, dir, url, clock, &[]).await;
        let owner = again.caller(&secret);
        let ask = role::GetRoleRequest { name: role.name.clone() };
        let found = RoleServiceClient::new(owner.channel.clone())
            .get_role(owner.ask(ask))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found, role);
    }
}

/// Over HTTP the caller's clock is not in the way, so the server's own answer is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_limit_on_time_is_explained() {
    let limit = [("server.request_timeout_seconds", "0".to_owned())];
    let site = Site::start_with(Engine::Sqlite, &limit).await;
    let url = format!("{}/provost.token.v1.TokenService/WhoAmI", site.running.url());
    let secret = access::token::bootstrap::ensure(site.kernel()).await.unwrap().unwrap();
    let bearer = format!("Bearer {}", secret.text);
    let headers = [("content-type", "application/grpc-web+proto"), ("authorization", bearer.as_str())];
    let answer = web::send(Method::POST, &url, &headers, vec![0_u8, 0, 0, 0, 0]).await;
    assert_eq!(answer.headers["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
    let status = tonic::Status::from_header_map(&answer.headers).unwrap();
    assert_eq!(reason(&status), "DEADLINE");
    // whether a change was made nobody knows: it goes on by itself once its commit is on its way
    assert!(
        status.message().contains("may or may not") && status.message().contains("request_id"),
        "{status:?}"
    );
}
