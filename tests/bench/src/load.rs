//! A closed loop: so many callers, each calling again as soon as it was answered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long and how often.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Seconds a round.
    pub seconds: u64,
    /// Rounds.
    pub rounds: usize,
}

/// One round's outcome.
#[derive(Clone, Copy)]
pub struct Round {
    /// Calls answered a second.
    pub rps: f64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
}

/// Runs `callers` closed loops for `length`; `call` is given the caller's number and its count.
pub async fn round<F, C>(callers: usize, length: Duration, make: impl Fn(usize) -> C) -> Round
where
    C: FnMut(usize) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|n| {
            let mut call = make(n);
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(100_000);
                let mut count = 0;
                while begun.elapsed() < length {
                    let asked = Instant::now();
                    call(count).await;
                    latencies.push(asked.elapsed());
                    count += 1;
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let elapsed = begun.elapsed().as_secs_f64();
    all.sort_unstable();
    let at = |percent: usize| all[(all.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    Round { rps: all.len() as f64 / elapsed, p50_us: at(50), p99_us: at(99) }
}

/// The round with the median rate.
pub fn median(mut rounds: Vec<Round>) -> Round {
    rounds.sort_by(|a, b| a.rps.total_cmp(&b.rps));
    rounds[rounds.len() / 2]
}

/// The figures of a subject and its floor.
pub fn figures(subject: Vec<Round>, floor: Vec<Round>) -> Value {
    let spread = |rounds: &[Round]| {
        let rates: Vec<_> = rounds.iter().map(|r| r.rps).collect();
        let (low, high) = rates.iter().fold((f64::MAX, f64::MIN), |(l, h), r| (l.min(*r), h.max(*r)));
        (100.0 * (high - low) / high).round()
    };
    let (noise, floor_noise) = (spread(&subject), spread(&floor));
    let (subject, floor) = (median(subject), median(floor));
    json!({
        "rps": subject.rps.round(),
        "p50_us": subject.p50_us.round(),
        "p99_us": subject.p99_us.round(),
        "floor_rps": floor.rps.round(),
        "ratio": (subject.rps / floor.rps * 1_000.0).round() / 1_000.0,
        "spread_percent": noise,
        "floor_spread_percent": floor_noise,
    })
}
