//! What is measured of the sinks.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Meter},
};

use crate::model::View;
use kernel::audit::Resource as _;

/// The instruments.
pub struct Metrics {
    delivered: Counter<u64>,
    failed: Counter<u64>,
    dead: Counter<u64>,
    lost: Counter<u64>,
    lag_events: Gauge<i64>,
    lag_seconds: Gauge<i64>,
}

impl Metrics {
    /// Makes them.
    pub fn new(meter: &Meter) -> Self {
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let gauge = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.i64_gauge(name).with_unit(unit).with_description(what).build()
        };
        Self {
            delivered: counter("provost.sink.delivered", "Events that a receiver took from this process"),
            failed: counter("provost.sink.failures", "Attempts that failed; they are repeated"),
            dead: counter("provost.sink.dead_letters", "Events that a receiver refused for good"),
            lost: counter("provost.sink.lost", "Events that retention removed before they were delivered"),
            lag_events: gauge(
                "provost.sink.lag.events",
                "{event}",
                "Signed events that a sink has not come to",
            ),
            lag_seconds: gauge(
                "provost.sink.lag",
                "s",
                "Age of the oldest event that a sink has not come to",
            ),
        }
    }

    /// Events were taken.
    pub fn delivered(&self, kind: &'static str, count: usize) {
        self.delivered.add(count as u64, &[KeyValue::new("kind", kind)]);
    }

    /// An attempt failed.
    pub fn failed(&self, kind: &'static str) {
        self.failed.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// An event was given up.
    pub fn dead(&self, kind: &'static str) {
        self.dead.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// Events were gone.
    pub fn lost(&self, kind: &'static str, count: i64) {
        self.lost.add(count.unsigned_abs(), &[KeyValue::new("kind", kind)]);
    }

    /// How far behind a sink is.
    pub fn lag(&self, view: &View) {
        let of = [KeyValue::new("sink", view.sink.name()), KeyValue::new("kind", view.sink.target.kind())];
        self.lag_events.record(view.progress.lag(), &of);
        self.lag_seconds.record(view.progress.lag_seconds(view.now), &of);
    }
}
