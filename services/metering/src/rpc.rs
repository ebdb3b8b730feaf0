//! Usage on the wire.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use kernel::{Ctx, Error, Kernel, Result, clock::Time, list_query};
use proto::usage::v1::{self as pb, usage_service_server::UsageService};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::{
    event::{self, decimal, writer::Writer},
    meter::Meter,
    observation,
    query::{
        model::{Answer, Asked, Dimension, Figure, UsageQuery, dim},
        ops::{self, Names},
        window::Window,
    },
};

/// `provost.usage.v1.UsageService`.
pub struct UsageRpc {
    /// What it is made of.
    pub kernel: Arc<Kernel>,
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
                let question = query(&ctx, &r)?;
                // an end that was left open is not told
                let open = question.windows.last().filter(|_| question.open).map(|span| span.end);
                let (found, names) = ops::usage_query(&ctx, &r.parent, &r.principal, question).await?;
                Ok(answer(&ctx, &r.parent, found, &names, open))
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

    async fn list_meters(
        &self,
        request: Request<pb::ListMetersRequest>,
    ) -> Result<Response<pb::ListMetersResponse>, Status> {
        self.kernel
            .serve(request, |ctx, r| async move {
                let page = ops::meter_list(&ctx, r.page_size, &r.page_token).await?;
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

fn query(ctx: &Ctx, request: &pb::QueryUsageRequest) -> Result<UsageQuery> {
    let time = |field: &'static str, t: Option<prost_types::Timestamp>| {
        let outside = |_| Error::invalid(field, "is out of range: years 1970 to 9999 are accepted");
        t.map(|t| Time::try_from(t).map_err(outside)).transpose()
    };
    let mut group_by = request.group_by.iter().map(|d| dimension(*d)).collect::<Result<Vec<_>>>()?;
    for name in &request.group_by_dims {
        group_by.push(dim(name)?);
    }
    let asked = Asked {
        meters: &request.meters,
        start: time("start_time", request.start_time)?,
        end: time("end_time", request.end_time)?,
        window: window(request.window)?,
        zone: &request.time_zone,
        group_by,
        filter: &request.filter,
    };
    let ahead = Duration::from_secs(ctx.kernel().config.usage.accept_future_seconds);
    UsageQuery::new(asked, ctx.now(), ahead)
}

fn dimension(number: i32) -> Result<Dimension> {
    match pb::UsageDimension::try_from(number) {
        Ok(pb::UsageDimension::Role) => Ok(Dimension::Role),
        Ok(pb::UsageDimension::Unit) => Ok(Dimension::Unit),
        Ok(pb::UsageDimension::Principal) => Ok(Dimension::Principal),
        Ok(pb::UsageDimension::Client) => Ok(Dimension::Client),
        Ok(pb::UsageDimension::Unspecified) | Err(_) => Err(Error::invalid(
            "group_by",
            format!("`{number}` is no dimension; use ROLE, UNIT, PRINCIPAL or CLIENT, or `group_by_dims`"),
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

fn answer(
    ctx: &Ctx,
    tenant: &str,
    found: Answer,
    names: &Names,
    open: Option<Time>,
) -> pb::QueryUsageResponse {
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
    let Figure { meter, window, group, value, events } = figure;
    let dim = |(key, value): (&str, String)| pb::Dim { key: key.to_owned(), value };
    pb::UsageRow {
        meter: meter.key.to_owned(),
        unit: meter.unit.to_owned(),
        value,
        role: name("roles", group.role.and_then(|id| names.directory.roles.get(&id))),
        unit_name: name("units", group.unit.and_then(|id| names.directory.units.get(&id))),
        principal: name("principals", group.principal.and_then(|id| names.principals.get(&id))),
        client: group.client,
        dims: group.dims.into_iter().map(dim).collect(),
        start_time: (window.start.micros() > 0).then(|| window.start.into()),
        end_time: (Some(window.end) != open).then(|| window.end.into()),
        events,
        decimal_value: decimal::at(value.into(), meter.scale),
    }
}

impl From<&Meter> for pb::Meter {
    fn from(meter: &Meter) -> Self {
        Self {
            key: meter.key.to_owned(),
            unit: meter.unit.to_owned(),
            description: meter.description.to_owned(),
            aggregation: meter.aggregation.as_str().to_owned(),
            scale: meter.scale.into(),
            dims: meter.dims.iter().map(ToString::to_string).collect(),
            version: meter.version,
        }
    }
}
