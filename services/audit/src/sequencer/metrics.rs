//! What is measured of the sequencer.

use kernel::clock::Time;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

/// The instruments.
pub struct Metrics {
    latency: Histogram<f64>,
    sequenced: Counter<u64>,
    failed: Counter<u64>,
}

impl Metrics {
    /// Makes them.
    pub fn new(meter: &Meter) -> Self {
        Self {
            latency: meter
                .f64_histogram("provost.audit.checkpoint.latency")
                .with_unit("s")
                .with_description("Time from an act to a signed checkpoint that covers it")
                .with_boundaries(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0])
                .build(),
            sequenced: meter
                .u64_counter("provost.audit.sequenced")
                .with_description("Events that were given their index by this process")
                .build(),
            failed: meter
                .u64_counter("provost.audit.sequencer.failures")
                .with_description("Rounds of the sequencer that ended in an error; the next one tries again")
                .build(),
        }
    }

    /// A checkpoint covers these events.
    pub fn signed(&self, times: &[Time], now: Time) {
        for time in times {
            self.latency.record(now.since(*time).as_secs_f64(), &[]);
        }
    }

    /// So many events got their index.
    pub fn sequenced(&self, events: usize) {
        self.sequenced.add(events as u64, &[]);
    }

    /// A round failed.
    pub fn failed(&self, reason: &'static str) {
        self.failed.add(1, &[KeyValue::new("reason", reason)]);
    }
}
