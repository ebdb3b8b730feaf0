//! A running server: open the database, build the kernel, mount the slices, listen, stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use audit::Sequencer;
use entitlement::{Policies, Signing};
use kernel::{
    Kernel,
    authz::Action,
    clock::Clock,
    config::Config,
    db::{Db, Engine},
    error::Error,
    telemetry::Telemetry,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::{Routes, RoutesBuilder},
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::{
    gate::{Gate, gate},
    health, http,
    listen::{Bounded, Patience},
};

/// Why a server did not start, in words for its operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error("{0}")]
    Database(Error),
    /// Schema and program do not fit.
    #[error("{0}")]
    Schema(String),
    /// The port.
    #[error(
        "cannot listen on {0}: {1}; stop what uses the port, or choose another with --listen (port 0 takes a free one)"
    )]
    Listen(SocketAddr, std::io::Error),
    /// TLS files.
    #[error("TLS: {0}; check `server.tls_cert_file` and `server.tls_key_file`")]
    Tls(String),
}

/// A server that is up.
pub struct Running {
    /// What it is made of.
    pub kernel: Arc<Kernel>,
    /// Where it listens; the real port where 0 was asked for.
    pub address: SocketAddr,
    /// What makes the audit logs.
    pub sequencer: Arc<Sequencer>,
    /// What it decides by.
    policies: Arc<Policies>,
    /// What it does now and then.
    jobs: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
    grace: Duration,
}

/// Every action of every slice: what the authorization matrix and its coverage tests go by.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    access::actions()
        .chain(tenancy::actions())
        .chain(catalog::actions())
        .chain(entitlement::actions())
        .chain(metering::actions())
        .chain(audit::actions())
        .chain(sink::actions())
}

/// Every action that the process does by itself: it stands in the logs beside those of [`actions`].
pub fn own_actions() -> impl Iterator<Item = &'static Action> {
    audit::own_actions().chain(sink::own_actions())
}

/// Opens the database and brings an embedded one to the newest schema; a shared one must have been migrated.
pub async fn open_database(config: &Config) -> Result<Db, StartError> {
    let db = Db::open(config).await.map_err(StartError::Database)?;
    let (found, newest) = db.schema_versions().await.map_err(StartError::Database)?;
    if found > newest || db.engine() == Engine::Sqlite {
        db.migrate().await.map_err(|e| StartError::Schema(e.to_string()))?;
    } else if found < newest {
        return Err(StartError::Schema(format!(
            "the database has schema version {found}, this provostd needs {newest}; run `provostd migrate` with the same configuration first"
        )));
    }
    Ok(db)
}

/// Starts a server and returns once it answers.
pub async fn start(config: Config, clock: Clock, telemetry: Arc<Telemetry>) -> Result<Running, StartError> {
    // two rustls providers are in the graph; whichever comes second finds the first
    let _ = rustls::crypto::ring::default_provider().install_default();
    let db = open_database(&config).await?;
    let kernel = Kernel::new(config, db, clock).await.map_err(StartError::Database)?;
    audit::sequencer::go_on(&kernel).await.map_err(StartError::Database)?;
    let settings = &kernel.config.server;
    let listener =
        TcpListener::bind(settings.listen).await.map_err(|e| StartError::Listen(settings.listen, e))?;
    let address = listener.local_addr().map_err(|e| StartError::Listen(settings.listen, e))?;
    let stop = CancellationToken::new();
    let mut server =
        Server::builder().accept_http1(true).http2_keepalive_interval(Some(Duration::from_secs(30)));
    if let Some(tls) = tls(&kernel.config)? {
        server = server.tls_config(tls).map_err(|e| StartError::Tls(e.to_string()))?;
    }
    tokio::spawn(Arc::clone(&kernel.storage).watch(stop.clone()));
    let sequencer = Sequencer::start(&kernel, &telemetry.meter()).map_err(StartError::Database)?;
    let mut jobs = vec![audit::retention::spawn_pruner(&kernel, stop.clone())];
    jobs.push(audit::closing::spawn_eraser(&kernel, &sequencer, stop.clone()));
    jobs.extend(audit::reconcile::spawn_reconciler(&kernel, &telemetry.meter(), stop.clone()));
    jobs.push(sink::spawn_deliverer(&kernel, &sequencer, &telemetry.meter(), stop.clone()));
    let policies = Policies::new(&kernel, &telemetry.meter());
    jobs.push(policies.spawn_follower(stop.clone()));
    jobs.push(policies.log.spawn(&kernel, stop.clone()));
    let writer = metering::Writer::new(&kernel, &telemetry.meter());
    jobs.push(metering::spawn_roller(&kernel, &telemetry.meter(), stop.clone()));
    jobs.extend(metering::spawn_verifier(&kernel, &telemetry.meter(), stop.clone()));
    let signing = Signing::load(&kernel.config, stop.clone()).map_err(StartError::Database)?;
    let deciding = (Arc::clone(&policies), signing);
    let router = server.add_routes(routes(&kernel, &sequencer, &deciding, &writer, &telemetry, &stop).await);
    let patience = Patience {
        silence: Duration::from_secs(settings.handshake_timeout_seconds),
        request: Duration::from_secs(settings.first_request_timeout_seconds),
    };
    let incoming = Bounded::new(listener, settings.max_connections, patience);
    let until = stop.clone();
    let served =
        tokio::spawn(router.serve_with_incoming_shutdown(incoming, async move { until.cancelled().await }));
    let grace = Duration::from_secs(settings.shutdown_grace_seconds);
    Ok(Running { kernel, address, sequencer, policies, jobs, stop, served, grace })
}

/// All services and routes behind one gate.
async fn routes(
    kernel: &Arc<Kernel>,
    sequencer: &Arc<Sequencer>,
    (policies, signing): &(Arc<Policies>, Arc<Signing>),
    writer: &Arc<metering::Writer>,
    telemetry: &Arc<Telemetry>,
    stop: &CancellationToken,
) -> Routes {
    let mut builder = RoutesBuilder::default();
    access::add_services(&mut builder, kernel);
    tenancy::add_services(&mut builder, kernel, &metering::activity());
    catalog::add_services(&mut builder, kernel);
    entitlement::add_services(&mut builder, kernel, policies, signing);
    metering::add_services(&mut builder, kernel, policies, writer);
    audit::add_services(&mut builder, kernel, sequencer);
    sink::add_services(&mut builder, kernel, sequencer);
    let ready = health::add_services(&mut builder, kernel, stop).await;
    add_reflection(&mut builder);
    let gate_state = Arc::new(Gate::new(kernel, telemetry));
    builder
        .routes()
        .into_axum_router()
        // gRPC-Web refuses plain HTTP/1 requests, so it wraps the gRPC services only
        .layer(tonic_web::GrpcWebLayer::new())
        .merge(metering::http_routes(Arc::clone(writer)))
        .merge(entitlement::http_routes(Arc::clone(kernel), Arc::clone(policies)))
        .merge(audit::http_routes(Arc::clone(kernel), Arc::clone(sequencer)))
        .merge(http::routes(Arc::clone(telemetry), ready))
        .layer(axum::middleware::from_fn_with_state(gate_state, gate))
        .into()
}

/// Both reflection versions: grpcurl speaks v1alpha in older releases.
fn add_reflection(builder: &mut RoutesBuilder) {
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (described().build_v1(), described().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            builder.add_service(v1).add_service(v1alpha);
        }
        (v1, v1alpha) => {
            let error = v1.err().or(v1alpha.err()).map(|e| e.to_string());
            tracing::error!(error, "reflection is off: the descriptor set is not readable");
        }
    }
}

fn tls(config: &Config) -> Result<Option<ServerTlsConfig>, StartError> {
    let (cert, key) = (&config.server.tls_cert_file, &config.server.tls_key_file);
    if cert.as_os_str().is_empty() {
        return Ok(None);
    }
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|e| StartError::Tls(format!("cannot read `{}`: {e}", path.display())))
    };
    let patience = Duration::from_secs(config.server.handshake_timeout_seconds);
    Ok(Some(ServerTlsConfig::new().identity(Identity::from_pem(read(cert)?, read(key)?)).timeout(patience)))
}

impl Running {
    /// Stops taking calls, lets those in flight finish within the configured grace, and closes the database.
    pub async fn stop(self) {
        self.stop.cancel();
        // streams of new events would never end by themselves
        self.sequencer.reading().hang_up.cancel();
        match tokio::time::timeout(self.grace, self.served).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "the listener failed"),
            Ok(Err(error)) => tracing::error!(%error, "the server task failed"),
            Err(_) => {
                tracing::warn!(grace_s = self.grace.as_secs(), "calls in flight were cut off at shutdown");
            }
        }
        for job in self.jobs {
            if let Err(error) = job.await {
                tracing::error!(%error, "a periodic job failed");
            }
        }
        // decisions of the calls that were in flight; the sequencer still puts them into the log
        if let Err(error) = self.policies.log.flush(&self.kernel).await {
            tracing::error!(%error, "the last decisions are not on the record");
        }
        self.sequencer.stop().await;
        self.kernel.db.close().await;
    }

    /// Puts the decisions that were made until now on the record, which otherwise takes up to a second.
    pub async fn flush_decisions(&self) -> Result<(), Error> {
        self.policies.log.flush(&self.kernel).await
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        let scheme =
            if self.kernel.config.server.tls_cert_file.as_os_str().is_empty() { "http" } else { "https" };
        format!("{scheme}://{}", self.address)
    }
}
