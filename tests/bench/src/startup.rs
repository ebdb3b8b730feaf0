//! From `exec` to SERVING on a database that is there, and what the process then holds.

use std::time::Instant;

use serde_json::{Value, json};
use tests::process::Daemon;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Starts counted.
const STARTS: usize = 7;

/// Measures.
pub async fn run() -> Value {
    let dir = tempfile::tempdir().unwrap();
    drop(Daemon::start(dir.path(), &[]));
    let mut times = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let daemon = Daemon::start(dir.path(), &[]);
        let mut client =
            HealthClient::new(Channel::from_shared(daemon.url.clone()).unwrap().connect().await.unwrap());
        client.check(HealthCheckRequest { service: "provost.role.v1.RoleService".to_owned() }).await.unwrap();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        memory.push(daemon.resident_kib() as f64 / 1024.0);
    }
    times.sort_by(f64::total_cmp);
    memory.sort_by(f64::total_cmp);
    json!({"serving_ms": times[STARTS / 2].round(), "serving_max_ms": times[STARTS - 1].round(), "idle_mib": (memory[STARTS / 2] * 10.0).round() / 10.0})
}
