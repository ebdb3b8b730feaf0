//! Corrections on the wire.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use kernel::{Error, Kernel, Result, audit::Resource as _, clock::Time, ids::clip, list_query};
use proto::usage::v1::{self as pb, usage_correction_service_server::UsageCorrectionService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{Correction, Effect, Frame, Kind, State},
    ops,
    pick::{EventRef, event_ref},
    stage::{self, Amendment},
};
use crate::event::{
    model::{Dims, MAX_VALUES},
    rpc::{quantities, read, status},
};

/// `provost.usage.v1.UsageCorrectionService`.
pub struct CorrectionRpc {
    /// What it is made of.
    pub kernel: Arc<Kernel>,
}

#[async_trait]
impl UsageCorrectionService for CorrectionRpc {
    async fn void_usage_events(
        &self,
        request: Request<pb::VoidUsageEventsRequest>,
    ) -> Result<Response<pb::UsageCorrection>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let refs =
                    r.events.into_iter().enumerate().map(|(n, of)| reference(&format!("events[{n}]"), of));
                ops::events_void(&ctx, &r.parent, refs.collect(), r.reason).await
            })
            .await
    }

    async fn amend_usage_events(
        &self,
        request: Request<pb::AmendUsageEventsRequest>,
    ) -> Result<Response<pb::UsageCorrection>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let amendments = r.amendments.into_iter().enumerate().map(|(n, a)| amendment(n, a));
                ops::events_amend(&ctx, &r.parent, amendments.collect(), r.reason).await
            })
            .await
    }

    async fn create_usage_backfill(
        &self,
        request: Request<pb::CreateUsageBackfillRequest>,
    ) -> Result<Response<pb::UsageCorrection>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let new = r.backfill.unwrap_or_default();
                let reason = new.reason.clone();
                ops::backfill_open(&ctx, &r.parent, frame(new), reason).await
            })
            .await
    }

    async fn stage_usage_events(
        &self,
        request: Request<pb::StageUsageEventsRequest>,
    ) -> Result<Response<pb::StageUsageEventsResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let now = ctx.now();
                let items = r.events.into_iter().map(|event| read(event, now)).collect();
                let statuses = stage::events_stage(&ctx, &r.name, items).await?;
                Ok(pb::StageUsageEventsResponse { statuses: statuses.iter().map(status).collect() })
            })
            .await
    }

    async fn commit_usage_backfill(
        &self,
        request: Request<pb::CommitUsageBackfillRequest>,
    ) -> Result<Response<pb::UsageCorrection>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move { ops::backfill_commit(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn abandon_usage_backfill(
        &self,
        request: Request<pb::AbandonUsageBackfillRequest>,
    ) -> Result<Response<pb::UsageCorrection>, Status> {
        self.kernel
            .serve(
                request,
                |ctx, r| async move { ops::backfill_abandon(&ctx, &r.name, &r.etag, r.reason).await },
            )
            .await
    }

    async fn revert_usage_correction(
        &self,
        request: Request<pb::RevertUsageCorrectionRequest>,
    ) -> Result<Response<pb::UsageCorrection>, Status> {
        self.kernel
            .serve(
                request,
                |ctx, r| async move { ops::correction_revert(&ctx, &r.name, &r.etag, r.reason).await },
            )
            .await
    }

    async fn get_usage_correction(
        &self,
        request: Request<pb::GetUsageCorrectionRequest>,
    ) -> Result<Response<pb::UsageCorrection>, Status> {
        self.kernel.serve(request, |ctx, r| async move { ops::correction_get(&ctx, &r.name).await }).await
    }

    async fn list_usage_corrections(
        &self,
        request: Request<pb::ListUsageCorrectionsRequest>,
    ) -> Result<Response<pb::ListUsageCorrectionsResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = ops::correction_list(&ctx, &r.parent, &list_query!(r)).await?;
                let usage_corrections = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListUsageCorrectionsResponse {
                    usage_corrections,
                    next_page_token: page.next_page_token,
                })
            })
            .await
    }
}

fn reference(field: &str, of: pb::UsageEventRef) -> Result<EventRef> {
    event_ref(field, (of.seq, of.source, of.id))
}

fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Time>> {
    let outside = |_| Error::invalid(field, "is out of range: years 1970 to 9999 are accepted");
    time.map(|t| Time::try_from(t).map_err(outside)).transpose()
}

fn amendment(n: usize, sent: pb::UsageAmendment) -> Result<(EventRef, Amendment)> {
    let at = |field: &str| format!("amendments[{n}].{field}");
    let of = reference(&at("event"), sent.event.unwrap_or_default())?;
    if sent.values.len() > MAX_VALUES {
        let message = format!("has {} quantities; use at most {MAX_VALUES}", sent.values.len());
        return Err(Error::invalid(&at("values"), message));
    }
    let values = quantities(sent.values.into_iter().map(|v| (v.key, v.value)))
        .map_err(|why| Error::invalid(&at("values"), format!("`{}` {}", clip(&why.field), why.message)))?;
    let mut dims = BTreeMap::<Cow<'static, str>, String>::new();
    for dim in sent.dims {
        if dims.insert(dim.key.clone().into(), dim.value).is_some() {
            return Err(Error::invalid(&at("dims"), format!("names `{}` twice", clip(&dim.key))));
        }
    }
    if !dims.is_empty() && !sent.set_dims {
        return Err(Error::invalid(&at("dims"), "are given without `set_dims`; set it, or leave them out"));
    }
    let dims = sent.set_dims.then_some(Dims(dims));
    Ok((of, Amendment { values, dims, time: time(&at("time"), sent.time)? }))
}

fn frame(new: pb::UsageCorrection) -> Result<Frame> {
    Ok(Frame {
        start: time("backfill.range_start_time", new.range_start_time)?,
        end: time("backfill.range_end_time", new.range_end_time)?,
        client: new.client,
        source: new.source,
        replace: new.replace,
    })
}

impl From<Correction> for pb::UsageCorrection {
    fn from(c: Correction) -> Self {
        let kind = match c.kind {
            Kind::Void => pb::UsageCorrectionKind::Void,
            Kind::Amend => pb::UsageCorrectionKind::Amend,
            Kind::Backfill => pb::UsageCorrectionKind::Backfill,
        };
        let state = match c.state {
            State::Staged => pb::UsageCorrectionState::Staged,
            State::Committed => pb::UsageCorrectionState::Committed,
            State::Reverted => pb::UsageCorrectionState::Reverted,
            State::Abandoned => pb::UsageCorrectionState::Abandoned,
        };
        Self {
            name: c.name(),
            kind: kind.into(),
            state: state.into(),
            etag: c.etag(),
            reason: c.reason,
            actor: c.actor,
            range_start_time: c.range.map(|r| r.0.into()),
            range_end_time: c.range.map(|r| r.1.into()),
            client: c.client,
            source: c.source,
            replace: c.replace,
            staged_count: c.staged_count,
            taken_count: c.taken_count,
            added_count: c.added_count,
            skipped_count: c.skipped_count,
            effects: c.effects.into_iter().map(Into::into).collect(),
            end_reason: c.end_reason,
            end_actor: c.end_actor,
            create_time: Some(c.create_time.into()),
            update_time: Some(c.update_time.into()),
            commit_time: c.commit_time.map(Into::into),
            end_time: c.end_time.map(Into::into),
        }
    }
}

impl From<Effect> for pb::UsageEffect {
    fn from(e: Effect) -> Self {
        Self {
            meter: e.meter,
            unit: e.unit,
            events_taken: e.events_taken,
            value_taken: e.value_taken,
            events_added: e.events_added,
            value_added: e.value_added,
            value_change: e.value_change,
        }
    }
}
