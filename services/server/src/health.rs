//! Health that is honest: a service answers SERVING only while the database answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kernel::Kernel;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic_health::{ServingStatus, server::HealthReporter};

/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the database answered when it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Whether it did.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Adds `grpc.health.v1.Health` for every service, and keeps it true until `stop`.
pub fn add_services(builder: &mut RoutesBuilder, kernel: &Arc<Kernel>, stop: &CancellationToken) -> Ready {
    let (reporter, service) = tonic_health::server::health_reporter();
    builder.add_service(service);
    let ready = Ready::default();
    ready.0.store(true, Ordering::SeqCst);
    tokio::spawn(watch(reporter, Arc::clone(kernel), ready.clone(), stop.clone()));
    ready
}

async fn watch(reporter: HealthReporter, kernel: Arc<Kernel>, ready: Ready, stop: CancellationToken) {
    let services = service_names();
    let mut told = None;
    loop {
        let stopping = stop.is_cancelled();
        let answered =
            !stopping && matches!(tokio::time::timeout(PATIENCE, kernel.db.ping()).await, Ok(Ok(())));
        if told != Some(answered) {
            ready.0.store(answered, Ordering::SeqCst);
            let status = if answered { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in &services {
                reporter.set_service_status(service, status).await;
            }
            match (answered, stopping) {
                (true, _) => tracing::info!("serving"),
                (false, true) => tracing::info!("stopping"),
                (false, false) => tracing::error!("not serving: the database does not answer"),
            }
            told = Some(answered);
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The services of the contract, and the empty name that stands for the whole server.
fn service_names() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTOR_SET).unwrap_or_default();
    let named = set.file.iter().filter(|f| f.package().starts_with("provost.")).flat_map(|file| {
        file.service.iter().map(|s| format!("{}.{}", file.package(), s.name())).collect::<Vec<_>>()
    });
    named.chain([String::new()]).collect()
}
