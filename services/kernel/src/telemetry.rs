//! Logs, traces and metrics: JSON lines on standard error, a Prometheus registry, and OTLP where configured.
//!
//! Never in any of them: secrets, names and addresses of people, request bodies. Resource names of tenants and method
//! names are.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue, StringValue,
    metrics::{Counter, Histogram, Meter, MeterProvider as _, UpDownCounter},
    propagation::TextMapPropagator as _,
    trace::TracerProvider as _,
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    metrics::{PeriodicReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use prometheus::{Encoder as _, Registry, TextEncoder};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    config::{LogFormat, Telemetry as Settings},
    error::{Error, Result},
};

/// How long a stopping process waits for its last export.
const FLUSH: Duration = Duration::from_secs(3);

/// The process's telemetry; dropped last.
pub struct Telemetry {
    registry: Registry,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    loggers: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// Metrics only, on a registry of their own: for a server inside another process.
    pub fn quiet() -> Result<Self> {
        let registry = Registry::new();
        let meters = SdkMeterProvider::builder().with_reader(prometheus_reader(&registry)?).build();
        Ok(Self { registry, meters, tracers: None, loggers: None })
    }

    /// Everything that the settings ask for. Call once, inside the runtime, before anything is logged.
    pub fn start(settings: &Settings) -> Result<Self> {
        let registry = Registry::new();
        let mut meters =
            SdkMeterProvider::builder().with_resource(resource()).with_reader(prometheus_reader(&registry)?);
        let (mut tracers, mut loggers) = (None, None);
        if !settings.otlp_endpoint.is_empty() {
            let to = &settings.otlp_endpoint;
            let metric =
                MetricExporter::builder().with_tonic().with_endpoint(to).build().map_err(Error::internal)?;
            let every = Duration::from_secs(settings.otlp_interval_seconds.max(1));
            meters = meters.with_reader(PeriodicReader::builder(metric).with_interval(every).build());
            let span =
                SpanExporter::builder().with_tonic().with_endpoint(to).build().map_err(Error::internal)?;
            let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.trace_ratio)));
            tracers = Some(
                SdkTracerProvider::builder()
                    .with_resource(resource())
                    .with_sampler(sampler)
                    .with_batch_exporter(span)
                    .build(),
            );
            let log =
                LogExporter::builder().with_tonic().with_endpoint(to).build().map_err(Error::internal)?;
            loggers =
                Some(SdkLoggerProvider::builder().with_resource(resource()).with_batch_exporter(log).build());
        }
        let telemetry = Self { registry, meters: meters.build(), tracers, loggers };
        telemetry.subscribe(settings)?;
        Ok(telemetry)
    }

    fn subscribe(&self, settings: &Settings) -> Result<()> {
        let filter = || {
            EnvFilter::try_new(&settings.log)
                .map_err(|e| Error::internal(format!("`telemetry.log` is not a log filter: {e}")))
        };
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = match settings.log_format {
            LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
            LogFormat::Text => lines.boxed(),
        };
        let traces =
            self.tracers.as_ref().map(|p| tracing_opentelemetry::layer().with_tracer(p.tracer("provost")));
        // the exporter's own connection must not report on itself
        let bridge = self.loggers.as_ref().map(OpenTelemetryTracingBridge::new);
        let quiet = || {
            filter().map(|f| {
                ["h2", "hyper", "tonic", "tower", "opentelemetry"].iter().fold(f, |f, target| {
                    format!("{target}=off").parse().map(|d| f.clone().add_directive(d)).unwrap_or(f)
                })
            })
        };
        tracing_subscriber::registry()
            .with(lines.with_filter(filter()?))
            .with(traces.with_filter(quiet()?))
            .with(bridge.with_filter(quiet()?))
            .try_init()
            .map_err(Error::internal)
    }

    /// Where instruments come from.
    pub fn meter(&self) -> Meter {
        self.meters.meter("provost")
    }

    /// The registry in the Prometheus text format.
    pub fn metrics_text(&self) -> Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).map_err(Error::internal)?;
        String::from_utf8(text).map_err(Error::internal)
    }

    /// Sends what is left.
    pub fn shutdown(&self) {
        for outcome in [
            self.tracers.as_ref().map(|p| p.shutdown_with_timeout(FLUSH)),
            self.loggers.as_ref().map(|p| p.shutdown_with_timeout(FLUSH)),
            Some(self.meters.shutdown_with_timeout(FLUSH)),
        ]
        .into_iter()
        .flatten()
        {
            if let Err(error) = outcome {
                tracing::debug!(%error, "last telemetry export failed");
            }
        }
    }
}

fn resource() -> Resource {
    Resource::builder()
        .with_service_name("provostd")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

fn prometheus_reader(registry: &Registry) -> Result<opentelemetry_prometheus::PrometheusExporter> {
    opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().map_err(Error::internal)
}

/// Takes the caller's W3C trace context (`traceparent`, `tracestate`) out of the headers.
pub fn remote_context(headers: &http::HeaderMap) -> opentelemetry::Context {
    TraceContextPropagator::new().extract(&Headers(headers))
}

/// The W3C trace context of the current span as headers for a request to others; none where no traces are kept.
pub fn outgoing() -> std::collections::HashMap<String, String> {
    let mut headers = std::collections::HashMap::new();
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut headers);
    // an empty `tracestate` says nothing
    headers.retain(|_, value| !value.is_empty());
    headers
}

struct Headers<'h>(&'h http::HeaderMap);

impl opentelemetry::propagation::Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|v| v.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Rate, errors and duration of every RPC and route.
#[derive(Clone)]
pub struct CallMetrics {
    duration: Histogram<f64>,
    in_flight: UpDownCounter<i64>,
    shed: Counter<u64>,
}

impl CallMetrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            duration: meter
                .f64_histogram("rpc.server.duration")
                .with_unit("s")
                .with_description("Time from the arrival of a call to its answer")
                .with_boundaries(vec![
                    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
                ])
                .build(),
            in_flight: meter
                .i64_up_down_counter("rpc.server.in_flight")
                .with_description("Calls being worked on")
                .build(),
            shed: meter.u64_counter("rpc.server.shed").with_description("Calls refused to shed load").build(),
        }
    }

    /// A call arrived; it counts as in flight until the guard goes, also when its caller hangs up.
    pub fn started(&self) -> InFlight {
        self.in_flight.add(1, &[]);
        InFlight(self.in_flight.clone())
    }

    /// A call was answered.
    pub fn finished(&self, method: &Arc<str>, code: &'static str, elapsed: Duration) {
        let method = StringValue::from(Arc::clone(method));
        let labels = [KeyValue::new("method", method), KeyValue::new("code", code)];
        self.duration.record(elapsed.as_secs_f64(), &labels);
    }

    /// A call was refused to shed load.
    pub fn shed(&self) {
        self.shed.add(1, &[]);
    }
}

/// A call being worked on.
pub struct InFlight(UpDownCounter<i64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.add(-1, &[]);
    }
}
