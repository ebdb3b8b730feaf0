//! A receiver of OTLP/gRPC that keeps what it gets.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    logs::v1::LogRecord,
    metrics::v1::Metric,
    trace::v1::Span,
};
use tokio::sync::watch;
use tonic::{
    Request, Response, Status, async_trait,
    transport::{Server, server::TcpIncoming},
};

/// Longest wait for something that has to come.
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything that came.
#[derive(Debug, Default)]
pub struct Received {
    /// Requests with spans.
    pub traces: Vec<ExportTraceServiceRequest>,
    /// Requests with metrics.
    pub metrics: Vec<ExportMetricsServiceRequest>,
    /// Requests with log records.
    pub logs: Vec<ExportLogsServiceRequest>,
}

impl Received {
    /// All spans.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.traces.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans)
    }

    /// All metrics, in the state of every export.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.metrics
            .iter()
            .flat_map(|r| &r.resource_metrics)
            .flat_map(|r| &r.scope_metrics)
            .flat_map(|s| &s.metrics)
    }

    /// All log records.
    pub fn logs(&self) -> impl Iterator<Item = &LogRecord> {
        self.logs
            .iter()
            .flat_map(|r| &r.resource_logs)
            .flat_map(|r| &r.scope_logs)
            .flat_map(|s| &s.log_records)
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let parts = [
            serde_json::to_string(&self.traces),
            serde_json::to_string(&self.metrics),
            serde_json::to_string(&self.logs),
        ];
        parts.map(Result::unwrap).join("\n")
    }
}

/// A running receiver; gone when dropped.
pub struct Collector {
    /// Where it listens.
    pub url: String,
    received: watch::Sender<Received>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Inbox(watch::Sender<Received>);

impl Collector {
    /// Starts one, inside a runtime.
    pub fn start() -> Self {
        let received = watch::Sender::new(Received::default());
        let inbox = Inbox(received.clone());
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", incoming.local_addr().unwrap());
        let router = Server::builder()
            .add_service(TraceServiceServer::new(inbox.clone()))
            .add_service(MetricsServiceServer::new(inbox.clone()))
            .add_service(LogsServiceServer::new(inbox));
        let server = tokio::spawn(async move { router.serve_with_incoming(incoming).await.unwrap() });
        Self { url, received, server }
    }

    /// Waits until `found` finds what it looks for in what came.
    pub async fn until<T>(&self, what: &str, found: impl Fn(&Received) -> Option<T>) -> T {
        let mut inbox = self.received.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, inbox.wait_for(|r| found(r).is_some())).await;
        let Ok(received) = waiting else { panic!("no {what} came; what came: {}", self.text()) };
        found(&received.unwrap()).unwrap()
    }

    /// All that came so far, as text.
    pub fn text(&self) -> String {
        self.received.borrow().text()
    }

    /// Looks at all that came so far.
    pub fn look<T>(&self, at: impl Fn(&Received) -> T) -> T {
        at(&self.received.borrow())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[async_trait]
impl TraceService for Inbox {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send_modify(|r| r.traces.push(request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[async_trait]
impl MetricsService for Inbox {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.send_modify(|r| r.metrics.push(request.into_inner()));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[async_trait]
impl LogsService for Inbox {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.0.send_modify(|r| r.logs.push(request.into_inner()));
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
