//! Usage on the wire.

use std::sync::Arc;

use kernel::{Ctx, Error, Kernel, Result, clock::Time};
use proto::usage::v1::{self as pb, usage_service_server::UsageService};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    meter::{self, Meter},
    model::{Dimension, Figure, UsageQuery},
    ops,
};

/// `provost.usage.v1.UsageService`.
pub struct UsageRpc(pub Arc<Kernel>);

#[async_trait]
impl UsageService for UsageRpc {
    async fn query_usage(
        &self,
        request: Request<pb::QueryUsageRequest>,
    ) -> Result<Response<pb::QueryUsageResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let figures = ops::usage_query(&ctx, &r.parent, &r.principal, &query(&ctx, &r)?).await?;
                let rows = figures.into_iter().map(|f| row(&r.parent, f)).collect();
                Ok(pb::QueryUsageResponse { rows, complete_through: Some(ctx.now().into()) })
            })
            .await
    }

    async fn list_meters(
        &self,
        request: Request<pb::ListMetersRequest>,
    ) -> Result<Response<pb::ListMetersResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::meter_list(&ctx, r.page_size, &r.page_token).await?;
                let meters = page.items.iter().map(Into::into).collect();
                Ok(pb::ListMetersResponse { meters, next_page_token: page.next_page_token })
            })
            .await
    }
}

fn query(ctx: &Ctx, request: &pb::QueryUsageRequest) -> Result<UsageQuery> {
    let time = |field: &'static str, t: Option<prost_types::Timestamp>| {
        let outside = |_| Error::invalid(field, "is out of range: years 1970 to 9999 are accepted");
        t.map(|t| Time::try_from(t).map_err(outside)).transpose()
    };
    let group_by = request.group_by.iter().map(|d| dimension(*d)).collect::<Result<_>>()?;
    let (start, end) = (time("start_time", request.start_time)?, time("end_time", request.end_time)?);
    UsageQuery::new(&request.meters, start, end, group_by, ctx.now())
}

fn dimension(number: i32) -> Result<Dimension> {
    match pb::UsageDimension::try_from(number) {
        Ok(pb::UsageDimension::Role) => Ok(Dimension::Role),
        Ok(pb::UsageDimension::Unit) => Ok(Dimension::Unit),
        Ok(pb::UsageDimension::Principal) => Ok(Dimension::Principal),
        Ok(pb::UsageDimension::Client) => Ok(Dimension::Client),
        Ok(pb::UsageDimension::Unspecified) | Err(_) => Err(Error::invalid(
            "group_by",
            format!("`{number}` is no dimension; use ROLE, UNIT, PRINCIPAL or CLIENT"),
        )),
    }
}

/// A figure with full names; `tenant` is the tenant's.
fn row(tenant: &str, figure: Figure) -> pb::UsageRow {
    let name = |collection: &str, slug: &str| match slug {
        "" => String::new(),
        slug => format!("{tenant}/{collection}/{slug}"),
    };
    pb::UsageRow {
        unit: meter::find(&figure.meter).map(|m| m.unit.to_owned()).unwrap_or_default(),
        meter: figure.meter,
        value: figure.value,
        role: name("roles", &figure.role),
        unit_name: name("units", &figure.unit),
        principal: name("principals", &figure.principal),
        client: figure.client,
    }
}

impl From<&Meter> for pb::Meter {
    fn from(meter: &Meter) -> Self {
        Self {
            key: meter.key.to_owned(),
            unit: meter.unit.to_owned(),
            description: meter.description.to_owned(),
        }
    }
}
