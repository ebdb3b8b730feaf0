//! Usage on the wire.

use std::{sync::Arc, time::Duration};

use entitlement::Policies;
use futures::stream::BoxStream;
use kernel::{Ctx, Error, Kernel, Result, clock::Time, list_query};
use proto::usage::v1::{self as pb, usage_service_server::UsageService};
use tenancy::role::model::RoleFamily;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::{
    adoption,
    event::{self, decimal, writer::Writer},
    meter::{self, ops::Shown},
    observation,
    query::{
        model::{Answer, Asked, Dimension, Figure},
        ops::{self, Names},
        window::Window,
    },
};

/// `provost.usage.v1.UsageService`.
pub struct UsageRpc {
    /// What it is made of.
    pub kernel: Arc<Kernel>,
    /// Decides who may use what.
    pub policies: Arc<Policies>,
    /// Stores events.
    pub writer: Arc<Writer>,
}

#[async_trait]
impl UsageService for UsageRpc {
    type IngestStream = BoxStream<'static, Result<pb::IngestResponse, Status>>;

    async fn ingest(
        &self,
        request: Request<Streaming<pb::IngestRequest>>,
    ) -> Result<Response<Self::IngestStream>, Status> {
        let writer = Arc::clone(&self.writer);
        self.kernel
            .serve_stream(request, |ctx, batches| async move { Ok(event::rpc::ingest(writer, ctx, batches)) })
            .await
    }

    async fn query_usage(
        &self,
        request: Request<pb::QueryUsageRequest>,
    ) -> Result<Response<pb::QueryUsageResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let (found, names) =
                    ops::usage_query(&ctx, &r.parent, &r.principal, query(&ctx, &r)?).await?;
                Ok(answer(&ctx, &r.parent, found, &names))
            })
            .await
    }

    async fn query_adoption(
        &self,
        request: Request<pb::QueryAdoptionRequest>,
    ) -> Result<Response<pb::QueryAdoptionResponse>, Status> {
        let policies = Arc::clone(&self.policies);
        self.kernel
            .serve(request, |ctx, r| {
                let policies = Arc::clone(&policies);
                async move {
                    let periods = adoption::rpc::periods(&ctx, r.window, &r.time_zone, r.periods)?;
                    let by = adoption::rpc::dimension(r.group_by)?;
                    let found =
                        adoption::ops::adoption_query(&ctx, &policies, &r.parent, &periods, by).await?;
                    Ok(adoption::rpc::answer(&ctx, &r.parent, found))
                }
            })
            .await
    }

    async fn list_dormant_entitlements(
        &self,
        request: Request<pb::ListDormantEntitlementsRequest>,
    ) -> Result<Response<pb::ListDormantEntitlementsResponse>, Status> {
        let policies = Arc::clone(&self.policies);
        self.kernel
            .serve(request, |ctx, r| {
                let policies = Arc::clone(&policies);
                async move {
                    let page =
                        adoption::ops::dormant_list(&ctx, &policies, &r.parent, &list_query!(r)).await?;
                    Ok(adoption::rpc::dormant_page(&r.parent, page))
                }
            })
            .await
    }

    async fn list_portfolio_adoption(
        &self,
        request: Request<pb::ListPortfolioAdoptionRequest>,
    ) -> Result<Response<pb::ListPortfolioAdoptionResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let periods = adoption::rpc::periods(&ctx, r.window, &r.time_zone, 1)?;
                let page =
                    adoption::portfolio::portfolio_list(&ctx, &r.parent, &periods, &list_query!(r)).await?;
                Ok(adoption::rpc::portfolio_page(page))
            })
            .await
    }

    async fn list_usage_events(
        &self,
        request: Request<pb::ListUsageEventsRequest>,
    ) -> Result<Response<pb::ListUsageEventsResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let of = (r.taken_by.as_str(), r.added_by.as_str());
                event::list::events(&ctx, &r.parent, of, &list_query!(r)).await
            })
            .await
    }

    async fn list_usage_rejects(
        &self,
        request: Request<pb::ListUsageRejectsRequest>,
    ) -> Result<Response<pb::ListUsageRejectsResponse>, Status> {
        self.kernel
            .serve(
                request,
                |ctx, r| async move { event::list::rejects(&ctx, &r.parent, &list_query!(r)).await },
            )
            .await
    }

    async fn create_usage_meter(
        &self,
        request: Request<pb::CreateUsageMeterRequest>,
    ) -> Result<Response<pb::Meter>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let new = meter::rpc::new(r.meter.unwrap_or_default());
                meter::ops::meter_create(&ctx, &r.parent, &r.meter_id, new, r.backfill).await
            })
            .await
    }

    async fn get_usage_meter(
        &self,
        request: Request<pb::GetUsageMeterRequest>,
    ) -> Result<Response<pb::Meter>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move { meter::ops::meter_get(&ctx, &r.name, r.version).await })
            .await
    }

    async fn update_usage_meter(
        &self,
        request: Request<pb::UpdateUsageMeterRequest>,
    ) -> Result<Response<pb::Meter>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let meter = r.meter.unwrap_or_default();
                let (name, etag) = (meter.name.clone(), meter.etag.clone());
                let patch = meter::rpc::patch(meter, r.update_mask.as_ref())?;
                meter::ops::meter_update(&ctx, &name, &etag, patch).await
            })
            .await
    }

    async fn archive_usage_meter(
        &self,
        request: Request<pb::ArchiveUsageMeterRequest>,
    ) -> Result<Response<pb::Meter>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move { meter::ops::meter_archive(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn list_meters(
        &self,
        request: Request<pb::ListMetersRequest>,
    ) -> Result<Response<pb::ListMetersResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let shown = Shown { archived: r.show_archived, versions: r.show_versions };
                let page =
                    meter::ops::meters_list(&ctx, &r.parent, shown, (r.page_size, &r.page_token)).await?;
                let meters = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListMetersResponse { meters, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn list_unapproved_plugins(
        &self,
        request: Request<pb::ListUnapprovedPluginsRequest>,
    ) -> Result<Response<pb::ListUnapprovedPluginsResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = observation::ops::unapproved_list(&ctx, &r.parent, &list_query!(r)).await?;
                Ok(observation::rpc::unapproved_page(page))
            })
            .await
    }

    async fn list_plugin_sightings(
        &self,
        request: Request<pb::ListPluginSightingsRequest>,
    ) -> Result<Response<pb::ListPluginSightingsResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = observation::ops::plugin_sighting_list(&ctx, &r.parent, &list_query!(r)).await?;
                Ok(observation::rpc::sighting_page(&r.parent, page))
            })
            .await
    }

    async fn list_settings_observations(
        &self,
        request: Request<pb::ListSettingsObservationsRequest>,
    ) -> Result<Response<pb::ListSettingsObservationsResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = observation::ops::settings_list(&ctx, &r.parent, &list_query!(r)).await?;
                Ok(observation::rpc::settings_page(&r.parent, page))
            })
            .await
    }
}

fn query(ctx: &Ctx, request: &pb::QueryUsageRequest) -> Result<Asked> {
    let time = |field: &'static str, t: Option<prost_types::Timestamp>| {
        let outside = |_| Error::invalid(field, "is out of range: years 1970 to 9999 are accepted");
        t.map(|t| Time::try_from(t).map_err(outside)).transpose()
    };
    let mut group_by = request.group_by.iter().map(|d| dimension(*d)).collect::<Result<Vec<_>>>()?;
    group_by.extend(request.group_by_dims.iter().map(|name| Dimension::Dim(name.as_str().into())));
    Ok(Asked {
        meters: request.meters.clone(),
        start: time("start_time", request.start_time)?,
        end: time("end_time", request.end_time)?,
        window: window(request.window)?,
        zone: request.time_zone.clone(),
        group_by,
        filter: request.filter.clone(),
        ahead: Duration::from_secs(ctx.kernel().config.usage.accept_future_seconds),
    })
}

fn dimension(number: i32) -> Result<Dimension> {
    match pb::UsageDimension::try_from(number) {
        Ok(pb::UsageDimension::Role) => Ok(Dimension::Role),
        Ok(pb::UsageDimension::Unit) => Ok(Dimension::Unit),
        Ok(pb::UsageDimension::Principal) => Ok(Dimension::Principal),
        Ok(pb::UsageDimension::Client) => Ok(Dimension::Client),
        Ok(pb::UsageDimension::RoleFamily) => Ok(Dimension::RoleFamily),
        Ok(pb::UsageDimension::Unspecified) | Err(_) => Err(Error::invalid(
            "group_by",
            format!(
                "`{number}` is no dimension; use ROLE, ROLE_FAMILY, UNIT, PRINCIPAL or CLIENT, or `group_by_dims`"
            ),
        )),
    }
}

fn window(number: i32) -> Result<Window> {
    match pb::UsageWindow::try_from(number) {
        Ok(pb::UsageWindow::Unspecified | pb::UsageWindow::Total) => Ok(Window::Total),
        Ok(pb::UsageWindow::Hour) => Ok(Window::Hour),
        Ok(pb::UsageWindow::Day) => Ok(Window::Day),
        Ok(pb::UsageWindow::Week) => Ok(Window::Week),
        Ok(pb::UsageWindow::Month) => Ok(Window::Month),
        Err(_) => {
            let message = format!("`{number}` is no window; use TOTAL, HOUR, DAY, WEEK or MONTH");
            Err(Error::invalid("window", message))
        }
    }
}

fn answer(ctx: &Ctx, tenant: &str, found: Answer, names: &Names) -> pb::QueryUsageResponse {
    let open = found.open;
    pb::QueryUsageResponse {
        rows: found.figures.into_iter().map(|f| row(tenant, f, names, open)).collect(),
        complete_through: Some(ctx.now().into()),
        watermark_time: (found.watermark_time.micros() > 0).then(|| found.watermark_time.into()),
        tail_events: i64::try_from(found.tail_events).unwrap_or(i64::MAX),
        warnings: found.warnings,
    }
}

/// A figure with full names; `tenant` is the tenant's, and `open` the end that nobody asked for.
fn row(tenant: &str, figure: Figure, names: &Names, open: Option<Time>) -> pb::UsageRow {
    let name = |collection: &str, slug: Option<&String>| match slug {
        Some(slug) if !slug.is_empty() => format!("{tenant}/{collection}/{slug}"),
        _ => String::new(),
    };
    let Figure { meter, window, group, value, events, sum } = figure;
    let dim = |(key, value): (Arc<str>, String)| pb::Dim { key: key.to_string(), value };
    pb::UsageRow {
        meter: meter.key.to_string(),
        unit: meter.unit.to_string(),
        value,
        role_family: role_family(group.family),
        role: name("roles", group.role.and_then(|id| names.directory.roles.get(&id))),
        unit_name: name("units", group.unit.and_then(|id| names.directory.units.get(&id))),
        principal: name("principals", group.principal.and_then(|id| names.principals.get(&id))),
        client: group.client,
        dims: group.dims.into_iter().map(dim).collect(),
        start_time: (window.start.micros() > 0).then(|| window.start.into()),
        end_time: (Some(window.end) != open).then(|| window.end.into()),
        events,
        decimal_value: decimal::at(value.into(), meter.scale),
        version: meter.version,
        decimal_sum: sum.map(|sum| decimal::at(sum, meter.scale)).unwrap_or_default(),
    }
}

/// The number of a family; 0 where it is not said, or not asked for.
fn role_family(family: Option<RoleFamily>) -> i32 {
    proto::role::v1::RoleFamily::from(family.unwrap_or_default()).into()
}
