//! A sample of live decisions is made a second time by casbin, beside the answer: a difference is counted and logged, and
//! changes nothing.

use std::sync::{Arc, atomic::Ordering};

use kernel::{Ctx, Kernel, Result, clock::Time, ids::Slug, revision::revision_get, scope::TenantRef};
use opentelemetry::KeyValue;

use super::{
    live::{Loaded, Policies},
    model::{Decision, Wanted, target_name},
};
use crate::opinion::{tables::Tables, verdict::verdict};

/// What is asked a second time.
struct Again {
    tenant: TenantRef,
    loaded: Arc<Loaded>,
    who: Slug,
    wanted: Wanted,
    allowed: bool,
    now: Time,
}

/// Asks casbin about one in so many decisions, in the background.
pub fn sample(
    ctx: &Ctx,
    policies: &Policies,
    tenant: &TenantRef,
    loaded: &Arc<Loaded>,
    who: &Slug,
    wanted: &Wanted,
    decision: &Decision,
) {
    let kernel = ctx.kernel();
    let one_in = kernel.config.decision.shadow_one_in;
    if one_in == 0 || !policies.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in) {
        return;
    }
    let again = Again {
        tenant: tenant.clone(),
        loaded: Arc::clone(loaded),
        who: who.clone(),
        wanted: wanted.clone(),
        allowed: decision.allowed,
        now: decision.decide_time,
    };
    let (kernel, compared) = (Arc::clone(kernel), policies.metrics.compared.clone());
    tokio::spawn(async move {
        let outcome = match again.compare(&kernel).await {
            Ok(Some(true)) => "same",
            Ok(Some(false)) => {
                tracing::error!(
                    tenant = %again.tenant.slug, plugin = %target_name(&again.tenant.slug, again.wanted.target()), allowed = again.allowed,
                    "casbin decides otherwise; please report this"
                );
                "different"
            }
            Ok(None) => "changed_meanwhile",
            Err(error) => {
                tracing::warn!(%error, "casbin could not be asked about a decision");
                "failed"
            }
        };
        compared.add(1, &[KeyValue::new("outcome", outcome)]);
    });
}

impl Again {
    /// Whether casbin says the same; none when the tables are not those any more that the decision was made by.
    async fn compare(&self, kernel: &Arc<Kernel>) -> Result<Option<bool>> {
        let mut db = kernel.db.snapshot().await?;
        if revision_get(&mut db, self.tenant.id.0).await? != self.loaded.revision {
            return Ok(None);
        }
        let mut tables = Tables { db, tenant: &self.tenant, now: self.now };
        let (plugin, part) = (self.wanted.plugin_name(), self.wanted.part());
        let verdict = verdict(&mut tables, &self.who, (&plugin, &part), self.now).await?;
        Ok(Some(verdict.allowed() == self.allowed))
    }
}
