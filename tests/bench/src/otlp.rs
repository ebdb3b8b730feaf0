//! Telemetry of the real clients: how much of it one core decodes and turns into events, without what stores them.

use std::{hint::black_box, time::Instant};

use metering::{
    client,
    otlp::{Request, Signal},
};
use serde_json::{Value, json};
use tests::data;

use crate::load::Plan;

/// Megabytes of JSON a second and core, of everything that both clients sent and of each by itself.
pub fn run(plan: Plan) -> Value {
    let mut figures = json!({});
    let sets = [
        ("codex_logs", "codex", Signal::Logs),
        ("codex_metrics", "codex", Signal::Metrics),
        ("claude_logs", "claude", Signal::Logs),
        ("claude_metrics", "claude", Signal::Metrics),
    ];
    let mut all = Vec::new();
    for (name, client, signal) in sets {
        let of = if signal == Signal::Logs { "logs" } else { "metrics" };
        let bodies: Vec<_> =
            data::requests(client, of, "json").into_iter().map(|body| (signal, body)).collect();
        figures[format!("{name}_mb_per_s")] = median(plan, &bodies).0.into();
        all.extend(bodies);
    }
    let (rate, events) = median(plan, &all);
    figures["mb_per_s_per_core"] = rate.into();
    figures["events_per_s_per_core"] = events.into();
    figures
}

/// Megabytes and events a second of processor time: the median round.
fn median(plan: Plan, bodies: &[(Signal, Vec<u8>)]) -> (f64, f64) {
    let mut rounds: Vec<_> = (0..plan.rounds).map(|_| round(plan, bodies)).collect();
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    rounds[rounds.len() / 2]
}

fn round(plan: Plan, bodies: &[(Signal, Vec<u8>)]) -> (f64, f64) {
    let (begun, used, mut bytes, mut events) = (Instant::now(), cpu_nanos(), 0_usize, 0_usize);
    while begun.elapsed().as_secs() < plan.seconds {
        for (signal, body) in bodies {
            let request = Request::json(*signal, body).unwrap();
            let reading = black_box(client::read(&request));
            bytes += body.len();
            events += reading.items.len();
        }
    }
    let seconds = (cpu_nanos() - used) as f64 / 1e9;
    ((bytes as f64 / 1e5 / seconds).round() / 10.0, (events as f64 / seconds).round())
}

/// Nanoseconds that this thread ran for: other work on the machine is none of it.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
