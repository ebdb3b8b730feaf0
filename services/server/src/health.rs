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

/// Adds `grpc.health.v1.Health` for every service, true from the first answer on, and keeps it true until `stop`.
pub async fn add_services(
    builder: &mut RoutesBuilder,
    kernel: &Arc<Kernel>,
    stop: &CancellationToken,
) -> Ready {
    let (reporter, service) = tonic_health::server::health_reporter();
    builder.add_service(service);
    let teller = Teller { reporter, services: service_names(), ready: Ready::default() };
    let answered = asked(kernel).await;
    teller.tell(answered).await;
    let ready = teller.ready.clone();
    tokio::spawn(watch(teller, answered, Arc::clone(kernel), stop.clone()));
    ready
}

/// Whether the database answers.
async fn asked(kernel: &Kernel) -> bool {
    matches!(tokio::time::timeout(PATIENCE, kernel.db.ping()).await, Ok(Ok(())))
}

/// Who tells everybody.
struct Teller {
    reporter: HealthReporter,
    services: Vec<String>,
    ready: Ready,
}

impl Teller {
    async fn tell(&self, answered: bool) {
        self.ready.0.store(answered, Ordering::SeqCst);
        let status = if answered { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

async fn watch(teller: Teller, mut told: bool, kernel: Arc<Kernel>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => {
                tracing::info!("stopping");
                return teller.tell(false).await;
            }
        }
        let answered = asked(&kernel).await;
        if told != answered {
            teller.tell(answered).await;
            told = answered;
            if answered {
                tracing::info!("serving again");
            } else {
                tracing::error!("not serving: the database does not answer");
            }
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
