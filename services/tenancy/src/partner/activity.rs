//! Who is active, as a slice above knows it: usage is metered above tenancy, and a portfolio shows it all the same.

use std::collections::HashMap;

use kernel::{Ctx, Result, ids::TenantId};

/// Tells of activity.
#[tonic::async_trait]
pub trait Activity: Send + Sync {
    /// Principals with at least one usage event in the last 7 days of UTC, today included, for each of `tenants`.
    async fn weekly_active(&self, ctx: &Ctx, tenants: &[TenantId]) -> Result<HashMap<TenantId, i64>>;
}
