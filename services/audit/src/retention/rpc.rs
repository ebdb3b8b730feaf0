//! Retention on the wire.

use std::sync::Arc;

use kernel::{Kernel, audit::Resource as _, list_query};
use proto::retention::v1::{self as pb, retention_service_server::RetentionService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    erasure, hold,
    model::{Erasure, LegalHold, Retention},
    ops,
};
use crate::Sequencer;

/// `provost.retention.v1.RetentionService`.
pub struct RetentionRpc {
    /// The process.
    pub kernel: Arc<Kernel>,
    /// What makes the log.
    pub sequencer: Arc<Sequencer>,
}

#[async_trait]
impl RetentionService for RetentionRpc {
    async fn get_retention(
        &self,
        request: Request<pb::GetRetentionRequest>,
    ) -> Result<Response<pb::Retention>, Status> {
        self.kernel.serve(request, |ctx, r| async move { ops::retention_get(&ctx, &r.name).await }).await
    }

    async fn update_retention(
        &self,
        request: Request<pb::UpdateRetentionRequest>,
    ) -> Result<Response<pb::Retention>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let retention = r.retention.unwrap_or_default();
                ops::retention_update(&ctx, &retention.name, &r.etag, &days(retention.classes)).await
            })
            .await
    }

    async fn create_legal_hold(
        &self,
        request: Request<pb::CreateLegalHoldRequest>,
    ) -> Result<Response<pb::LegalHold>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let new = r.legal_hold.unwrap_or_default();
                hold::hold_create(&ctx, &r.parent, &r.legal_hold_id, new.reason, &new.principal).await
            })
            .await
    }

    async fn list_legal_holds(
        &self,
        request: Request<pb::ListLegalHoldsRequest>,
    ) -> Result<Response<pb::ListLegalHoldsResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = hold::hold_list(&ctx, &r.parent, &list_query!(r)).await?;
                let legal_holds = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListLegalHoldsResponse { legal_holds, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn release_legal_hold(
        &self,
        request: Request<pb::ReleaseLegalHoldRequest>,
    ) -> Result<Response<pb::LegalHold>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move { hold::hold_release(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn erase_subject(
        &self,
        request: Request<pb::EraseSubjectRequest>,
    ) -> Result<Response<pb::EraseSubjectResponse>, Status> {
        let log = &self.sequencer;
        self.kernel
            .serve(request, |ctx, r| async move {
                erasure::subject_erase(&ctx, log, &r.principal, r.reason).await
            })
            .await
    }
}

fn days(classes: Vec<pb::ClassRetention>) -> Vec<(String, i64)> {
    classes.into_iter().map(|c| (c.event_class, i64::from(c.days))).collect()
}

impl From<Retention> for pb::Retention {
    fn from(retention: Retention) -> Self {
        let (name, etag) = (retention.name(), retention.etag());
        let class = |(event_class, days): (String, i64)| pb::ClassRetention {
            event_class,
            days: i32::try_from(days).unwrap_or(i32::MAX),
        };
        let classes = retention.days.into_iter().map(class).collect();
        Self { name, classes, minimum_index: retention.minimum_index, etag }
    }
}

impl From<LegalHold> for pb::LegalHold {
    fn from(hold: LegalHold) -> Self {
        Self {
            name: hold.name(),
            principal: hold.principal(),
            create_time: Some(hold.create_time.into()),
            update_time: Some(hold.update_time.into()),
            release_time: hold.release_time.map(Into::into),
            etag: hold.etag(),
            reason: hold.reason,
        }
    }
}

impl From<Erasure> for pb::EraseSubjectResponse {
    fn from(erasure: Erasure) -> Self {
        let erase_time = Some(erasure.erase_time.into());
        Self { principal: erasure.principal, erase_time, events: erasure.events }
    }
}
