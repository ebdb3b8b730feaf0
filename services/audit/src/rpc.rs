//! The audit log on the wire.

use std::sync::Arc;

use futures::stream::BoxStream;
use kernel::{Kernel, list_query};
use proto::audit::v1::{self as pb, audit_service_server::AuditService};
use tonic::{Request, Response, Status, async_trait};

use crate::{Sequencer, access, event, evidence, export, mirror, saved_search};

/// `provost.audit.v1.AuditService`.
pub struct AuditRpc {
    /// The process.
    pub kernel: Arc<Kernel>,
    /// What makes the log.
    pub sequencer: Arc<Sequencer>,
}

#[async_trait]
impl AuditService for AuditRpc {
    type TailAuditEventsStream = BoxStream<'static, Result<pb::TailAuditEventsResponse, Status>>;
    type ExportAuditEventsStream = BoxStream<'static, Result<pb::ExportAuditEventsResponse, Status>>;
    type ExportEvidenceStream = BoxStream<'static, Result<pb::ExportEvidenceResponse, Status>>;

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let log = &self.sequencer;
        self.kernel
            .serve(request, |ctx, r| async move {
                event::event_list(&ctx, log, &r.parent, &list_query!(r), r.as_of_size).await
            })
            .await
    }

    async fn get_audit_event(
        &self,
        request: Request<pb::GetAuditEventRequest>,
    ) -> Result<Response<pb::AuditEvent>, Status> {
        let log = &self.sequencer;
        self.kernel.serve(request, |ctx, r| async move { event::event_get(&ctx, log, &r.name).await }).await
    }

    async fn tail_audit_events(
        &self,
        request: Request<pb::TailAuditEventsRequest>,
    ) -> Result<Response<Self::TailAuditEventsStream>, Status> {
        let log = Arc::clone(&self.sequencer);
        self.kernel
            .serve_stream(request, |ctx, r| event::event_tail(ctx, log, r.parent, r.filter, r.from_index))
            .await
    }

    async fn get_audit_log(
        &self,
        request: Request<pb::GetAuditLogRequest>,
    ) -> Result<Response<pb::AuditLog>, Status> {
        let log = &self.sequencer;
        self.kernel.serve(request, |ctx, r| async move { event::log_get(&ctx, log, &r.name).await }).await
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::Receipt>, Status> {
        let log = &self.sequencer;
        self.kernel.serve(request, |ctx, r| async move { event::receipt_get(&ctx, log, &r.name).await }).await
    }

    async fn export_audit_events(
        &self,
        request: Request<pb::ExportAuditEventsRequest>,
    ) -> Result<Response<Self::ExportAuditEventsStream>, Status> {
        let log = Arc::clone(&self.sequencer);
        self.kernel.serve_stream(request, |ctx, r| export::export(ctx, log, r)).await
    }

    async fn export_evidence(
        &self,
        request: Request<pb::ExportEvidenceRequest>,
    ) -> Result<Response<Self::ExportEvidenceStream>, Status> {
        let log = Arc::clone(&self.sequencer);
        self.kernel.serve_stream(request, |ctx, r| Box::pin(evidence::evidence_export(ctx, log, r))).await
    }

    async fn list_access_as_of(
        &self,
        request: Request<pb::ListAccessAsOfRequest>,
    ) -> Result<Response<pb::ListAccessAsOfResponse>, Status> {
        let log = &self.sequencer;
        self.kernel
            .serve(request, |ctx, r| Box::pin(async move { access::access_list(&ctx, log, r).await }))
            .await
    }

    async fn create_saved_search(
        &self,
        request: Request<pb::CreateSavedSearchRequest>,
    ) -> Result<Response<pb::SavedSearch>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                saved_search::create(&ctx, &r.parent, r.saved_search_id, r.saved_search.unwrap_or_default())
                    .await
            })
            .await
    }

    async fn list_saved_searches(
        &self,
        request: Request<pb::ListSavedSearchesRequest>,
    ) -> Result<Response<pb::ListSavedSearchesResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = saved_search::list(&ctx, &r.parent, &list_query!(r)).await?;
                let saved_searches = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListSavedSearchesResponse { saved_searches, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn delete_saved_search(
        &self,
        request: Request<pb::DeleteSavedSearchRequest>,
    ) -> Result<Response<pb::SavedSearch>, Status> {
        self.kernel.serve(request, |ctx, r| async move { saved_search::delete(&ctx, &r.name).await }).await
    }

    async fn create_mirror_link(
        &self,
        request: Request<pb::CreateMirrorLinkRequest>,
    ) -> Result<Response<pb::CreateMirrorLinkResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                mirror::link_create(&ctx, &r.parent, r.mirror_link.unwrap_or_default()).await
            })
            .await
    }

    async fn list_mirror_links(
        &self,
        request: Request<pb::ListMirrorLinksRequest>,
    ) -> Result<Response<pb::ListMirrorLinksResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = mirror::link_list(&ctx, &r.parent, &list_query!(r)).await?;
                let mirror_links = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListMirrorLinksResponse { mirror_links, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn revoke_mirror_link(
        &self,
        request: Request<pb::RevokeMirrorLinkRequest>,
    ) -> Result<Response<pb::MirrorLink>, Status> {
        self.kernel.serve(request, |ctx, r| async move { mirror::link_revoke(&ctx, &r.name).await }).await
    }
}
