//! A sample of live decisions is made a second time by casbin, beside the answer: a difference is counted and logged, and
//! changes nothing.

use std::sync::{Arc, atomic::Ordering};

use kernel::{Kernel, Result, clock::Time, ids::Slug, revision::revision_get, scope::TenantRef};
use opentelemetry::KeyValue;

use super::{
    live::{Loaded, Policies},
    model::{Wanted, target_name},
};
use crate::opinion::{tables::Tables, verdict::verdict};

/// What is asked a second time.
pub struct Again {
    /// In which tenant.
    pub tenant: TenantRef,
    /// By what it was decided.
    pub loaded: Arc<Loaded>,
    /// About whom.
    pub who: Slug,
    /// What for.
    pub wanted: Wanted,
    /// What was said.
    pub allowed: bool,
    /// When.
    pub now: Time,
}

/// Most answers that casbin is asked about at a time: it takes ten thousand times as long as the answer did.
pub const AT_ONCE: usize = 64;

/// Whether the answer that is being made is one to ask casbin about: the number of its turn then.
pub fn turn(kernel: &Kernel, policies: &Policies) -> Option<usize> {
    let one_in = kernel.config.decision.shadow_one_in;
    let asked = policies.asked.fetch_add(1, Ordering::Relaxed);
    let turn = asked.checked_div(one_in).filter(|_| asked.is_multiple_of(one_in))?;
    usize::try_from(turn).ok()
}

/// Asks casbin in the background.
pub fn ask(kernel: &Arc<Kernel>, policies: &Policies, again: Again) {
    let compared = policies.metrics.compared.clone();
    let Ok(place) = Arc::clone(&policies.shadows).try_acquire_owned() else {
        compared.add(1, &[KeyValue::new("outcome", "skipped")]);
        return;
    };
    let kernel = Arc::clone(kernel);
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
        drop(place);
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
