//! OTLP over gRPC: the three services of the OpenTelemetry collector, with the same meaning as over HTTP.

use std::sync::Arc;

use kernel::{Error, Result};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tonic::{
    Request, Response, Status, async_trait, codec::CompressionEncoding::Gzip, service::RoutesBuilder,
};

use crate::{
    event::writer::Writer,
    http::{Taken, store},
    otlp::{self, Logs, Metrics, Traces},
};

/// Takes telemetry in.
#[derive(Clone)]
struct Otlp(Arc<Writer>);

/// Adds the services. A message is bounded before and after it is unzipped.
pub fn add_services(routes: &mut RoutesBuilder, writer: &Arc<Writer>) {
    let limit = writer.kernel().config.usage.max_body_bytes;
    let otlp = Otlp(Arc::clone(writer));
    routes.add_service(
        LogsServiceServer::new(otlp.clone()).accept_compressed(Gzip).max_decoding_message_size(limit),
    );
    routes.add_service(
        MetricsServiceServer::new(otlp.clone()).accept_compressed(Gzip).max_decoding_message_size(limit),
    );
    routes
        .add_service(TraceServiceServer::new(otlp).accept_compressed(Gzip).max_decoding_message_size(limit));
}

impl Otlp {
    async fn take<M>(&self, mut request: Request<M>) -> Result<Taken, Status>
    where
        M: Send,
        otlp::Message: From<M>,
    {
        let kernel = self.0.kernel();
        let info = kernel.call_info(&mut request);
        let incident = info.id.to_string();
        let outcome = async {
            let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
            let ctx = Arc::new(kernel.enter(header, info).await?);
            let request = otlp::Request::of(request.into_inner())?;
            store(&self.0, &ctx, &request).await
        };
        outcome.await.map_err(|error: Error| error.into_status(&incident))
    }
}

#[async_trait]
impl LogsService for Otlp {
    async fn export(&self, request: Request<Logs>) -> Result<Response<ExportLogsServiceResponse>, Status> {
        Ok(Response::new(logs_answer(&self.take(request).await?)))
    }
}

#[async_trait]
impl MetricsService for Otlp {
    async fn export(
        &self,
        request: Request<Metrics>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(metrics_answer(&self.take(request).await?)))
    }
}

#[async_trait]
impl TraceService for Otlp {
    async fn export(&self, request: Request<Traces>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(traces_answer(&self.take(request).await?)))
    }
}

/// How many items were refused and why; `None` when none was, as OTLP has it.
fn partial(taken: &Taken) -> Option<(i64, String)> {
    let refused = i64::try_from(taken.refused).unwrap_or(i64::MAX);
    (refused > 0).then(|| (refused, taken.message.clone()))
}

/// What the sender of log records is told.
pub(crate) fn logs_answer(taken: &Taken) -> ExportLogsServiceResponse {
    let partial_success = partial(taken).map(|(rejected_log_records, error_message)| {
        ExportLogsPartialSuccess { rejected_log_records, error_message }
    });
    ExportLogsServiceResponse { partial_success }
}

/// What the sender of data points is told.
pub(crate) fn metrics_answer(taken: &Taken) -> ExportMetricsServiceResponse {
    let partial_success = partial(taken).map(|(rejected_data_points, error_message)| {
        ExportMetricsPartialSuccess { rejected_data_points, error_message }
    });
    ExportMetricsServiceResponse { partial_success }
}

/// What the sender of spans is told.
pub(crate) fn traces_answer(taken: &Taken) -> ExportTraceServiceResponse {
    let partial_success = partial(taken)
        .map(|(rejected_spans, error_message)| ExportTracePartialSuccess { rejected_spans, error_message });
    ExportTraceServiceResponse { partial_success }
}
