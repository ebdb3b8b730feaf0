//! Sinks on the wire.

use std::sync::Arc;

use audit::Sequencer;
use kernel::{Kernel, audit::Resource as _, list_query};
use proto::sink::v1::{self as pb, sink_service_server::SinkService};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    certificate,
    model::{Letter, Sink, State, View},
    ops,
    store::event_name,
    target::{Scheme, Target},
};

/// `provost.sink.v1.SinkService`.
pub struct SinkRpc {
    /// The process.
    pub kernel: Arc<Kernel>,
    /// What makes the logs.
    pub sequencer: Arc<Sequencer>,
}

#[async_trait]
impl SinkService for SinkRpc {
    async fn create_sink(
        &self,
        request: Request<pb::CreateSinkRequest>,
    ) -> Result<Response<pb::CreateSinkResponse>, Status> {
        let log = &self.sequencer;
        self.kernel
            .serve(request, |ctx, r| async move {
                let (view, secrets) = ops::sink_create(&ctx, log, r).await?;
                Ok(pb::CreateSinkResponse { sink: Some(view.into()), secrets })
            })
            .await
    }

    async fn get_sink(&self, request: Request<pb::GetSinkRequest>) -> Result<Response<pb::Sink>, Status> {
        self.kernel.serve(request, |ctx, r| async move { ops::sink_get(&ctx, &r.name).await }).await
    }

    async fn list_sinks(
        &self,
        request: Request<pb::ListSinksRequest>,
    ) -> Result<Response<pb::ListSinksResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = ops::sink_list(&ctx, &r.parent, &list_query!(r)).await?;
                let sinks = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListSinksResponse { sinks, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_sink(
        &self,
        request: Request<pb::UpdateSinkRequest>,
    ) -> Result<Response<pb::Sink>, Status> {
        self.kernel.serve(request, |ctx, r| async move { Box::pin(ops::sink_update(&ctx, r)).await }).await
    }

    async fn delete_sink(
        &self,
        request: Request<pb::DeleteSinkRequest>,
    ) -> Result<Response<pb::Sink>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move { ops::sink_delete(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn pause_sink(&self, request: Request<pb::PauseSinkRequest>) -> Result<Response<pb::Sink>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move { ops::sink_pause(&ctx, &r.name, &r.etag, r.reason).await })
            .await
    }

    async fn resume_sink(
        &self,
        request: Request<pb::ResumeSinkRequest>,
    ) -> Result<Response<pb::Sink>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move { ops::sink_resume(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn replay_sink(
        &self,
        request: Request<pb::ReplaySinkRequest>,
    ) -> Result<Response<pb::Sink>, Status> {
        let log = &self.sequencer;
        self.kernel
            .serve(request, |ctx, r| async move {
                ops::sink_replay(&ctx, log, &r.name, &r.etag, r.from_index).await
            })
            .await
    }

    async fn test_sink(
        &self,
        request: Request<pb::TestSinkRequest>,
    ) -> Result<Response<pb::TestSinkResponse>, Status> {
        let log = &self.sequencer;
        self.kernel.serve(request, |ctx, r| async move { ops::sink_test(&ctx, log, &r.name).await }).await
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let (sink, page) = ops::letter_list(&ctx, &r.parent, &list_query!(r)).await?;
                let dead_letters = page.items.into_iter().map(|letter| letter_of(&sink, letter)).collect();
                Ok(pb::ListDeadLettersResponse { dead_letters, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn redeliver_dead_letters(
        &self,
        request: Request<pb::RedeliverDeadLettersRequest>,
    ) -> Result<Response<pb::RedeliverDeadLettersResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let count = ops::letter_redeliver(&ctx, &r.name, &r.sequences).await?;
                Ok(pb::RedeliverDeadLettersResponse { count })
            })
            .await
    }

    async fn get_delivery_certificate(
        &self,
        request: Request<pb::GetDeliveryCertificateRequest>,
    ) -> Result<Response<pb::DeliveryCertificate>, Status> {
        let log = &self.sequencer;
        self.kernel
            .serve(request, |ctx, r| async move { certificate::certificate_get(&ctx, log, &r).await })
            .await
    }
}

fn letter_of(sink: &Sink, letter: Letter) -> pb::DeadLetter {
    pb::DeadLetter {
        audit_event: event_name(&sink.parent, letter.event_id),
        sequence: letter.idx,
        reason: letter.reason,
        attempts: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
        create_time: Some(letter.create_time.into()),
        redelivering: letter.redeliver,
    }
}

impl From<View> for pb::Sink {
    fn from(view: View) -> Self {
        let View { sink, progress, now } = view;
        let state = match (sink.state, progress.attempts) {
            (State::Paused, _) => pb::State::Paused,
            (State::Active, 0) => pb::State::Active,
            (State::Active, _) => pb::State::Retrying,
        };
        let waits = progress.attempts > 0 && sink.state == State::Active;
        Self {
            name: sink.name(),
            uid: sink.id.to_string(),
            etag: sink.etag(),
            display_name: sink.display_name,
            target: Some(sink.target.into()),
            ca_certificate: sink.ca_certificate,
            state: state.into(),
            pause_reason: sink.pause_reason,
            lag_events: progress.lag(),
            lag_seconds: progress.lag_seconds(now),
            next_index: progress.next_index,
            delivered_count: progress.delivered,
            dead_letter_count: progress.letters,
            lost_count: progress.lost,
            failed_attempts: i32::try_from(progress.attempts).unwrap_or(i32::MAX),
            last_error: progress.last_error,
            retry_time: waits.then(|| progress.retry_time.into()),
            last_delivery_time: progress.last_delivery_time.map(Into::into),
            create_time: Some(sink.create_time.into()),
            update_time: Some(sink.update_time.into()),
        }
    }
}

impl From<Target> for pb::sink::Target {
    fn from(target: Target) -> Self {
        match target {
            Target::Webhook { url, schemes, public_keys } => {
                let scheme = |s: &Scheme| match s {
                    Scheme::Hmac => pb::SignatureScheme::Hmac.into(),
                    Scheme::Ed25519 => pb::SignatureScheme::Ed25519.into(),
                };
                let schemes = schemes.iter().map(scheme).collect();
                Self::Webhook(pb::Webhook { url, secrets: Vec::new(), schemes, public_keys })
            }
            Target::SplunkHec { url, index } => {
                Self::SplunkHec(pb::SplunkHec { url, token: String::new(), index })
            }
            Target::Syslog { address } => Self::Syslog(pb::Syslog { address }),
            Target::File { directory, max_bytes, max_files } => {
                Self::File(pb::File { directory, max_bytes, max_files })
            }
            Target::Otlp { url, header } => Self::Otlp(pb::Otlp { url, header, header_value: String::new() }),
        }
    }
}
