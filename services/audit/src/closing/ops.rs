//! The story of an erasure: due, begun, cleared, done.

use std::{sync::Arc, time::Duration};

use kernel::{
    Ctx, Kernel, Result,
    audit::Resource as _,
    authz::Action,
    db::{Executor, retry, tx::EngineTx},
    error::Error,
    ids::TenantId,
    scope::Scope,
};
use tenancy::{
    principal::store as principals,
    tenant::{
        model::{Tenant, TenantErasure},
        store as tenants,
    },
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    ERASE, ERASED, HOLD, SCHEDULE,
    lease::Hold,
    store,
    tables::{CLEARED, KEYS, PEOPLE, Table},
};
use crate::{
    Sequencer,
    retention::{erasure::destroy_key, store as retention},
};

/// Rows in one transaction: bounds how long SQLite's only writer is held.
const ROWS: i64 = 512;
/// People in one transaction: each is looked for in three logs.
const AT_ONCE: i64 = 16;
/// How much longer than the longest request it is waited, until what had begun before the tenant stopped taking changes is over.
const SLACK: Duration = Duration::from_secs(10);

/// One kind of clearing up.
enum Work {
    /// A table is emptied.
    Table(&'static Table),
    /// The tree of units is cut.
    Units,
    /// People go, with their keys.
    People,
    /// Keys go that nobody is left of.
    Keys,
}

/// What came of a step.
enum Stepped {
    /// There may be more.
    More,
    /// Nothing is left.
    Clear,
    /// A legal hold stands.
    Held,
}

/// Erases closed tenants, together with the other processes on the same database.
pub struct Eraser {
    kernel: Arc<Kernel>,
    sequencer: Arc<Sequencer>,
    node: Uuid,
    stop: CancellationToken,
}

impl Eraser {
    /// One that ends between two steps once `stop` is cancelled.
    pub fn new(kernel: &Arc<Kernel>, sequencer: &Arc<Sequencer>, stop: CancellationToken) -> Self {
        let node = kernel.ids.new_id(kernel.clock.now());
        Self { kernel: Arc::clone(kernel), sequencer: Arc::clone(sequencer), node, stop }
    }

    /// Looks at every closed tenant once; returns whether one has begun that is not done. What goes wrong with one of them
    /// is logged, and the next run tries again.
    pub async fn run(&self) -> Result<bool> {
        let closed = tenants::tenant_closed_list(&mut self.kernel.db.reader().await?).await?;
        let mut begun = false;
        for tenant in closed {
            if self.stop.is_cancelled() {
                break;
            }
            match self.tenant(&tenant).await {
                Ok(erasure) => begun |= erasure == Some(TenantErasure::Running),
                Err(error) => {
                    let tenant = tenant.name();
                    tracing::error!(tenant, %error, "a closed tenant was not erased; the next run tries again");
                }
            }
        }
        Ok(begun)
    }

    /// Does for one tenant what is due; returns how far it is then.
    async fn tenant(&self, tenant: &Tenant) -> Result<Option<TenantErasure>> {
        let ctx = self.kernel.system();
        let Some(due) = tenant.erase_time else {
            let keep = self.kernel.config.erase_after();
            return self.act(&ctx, tenant, SCHEDULE, None, |t| t.rescheduled(keep, ctx.now())).await;
        };
        if due > ctx.now() {
            return Ok(tenant.erasure);
        }
        let Some(hold) = Hold::take(&self.kernel, self.node, tenant.id).await? else {
            return Ok(tenant.erasure);
        };
        let outcome = self.erase(&hold, tenant).await;
        hold.release(&self.kernel).await?;
        outcome
    }

    async fn erase(&self, hold: &Hold, tenant: &Tenant) -> Result<Option<TenantErasure>> {
        let begun = retry::on_conflict(|| self.begin(hold, tenant)).await?;
        if begun.erasure != Some(TenantErasure::Running) {
            return Ok(begun.erasure);
        }
        if !self.clear(hold, &begun).await? {
            // what is left waits for the hold, and says so
            return Ok(retry::on_conflict(|| self.begin(hold, &begun)).await?.erasure);
        }
        let changing = Duration::from_secs(self.kernel.config.server.request_timeout_seconds) + SLACK;
        if self.stop.is_cancelled() || self.kernel.clock.now() < begun.stamp.update_time.plus(changing) {
            return Ok(begun.erasure);
        }
        self.kernel.db.scrub(&touched()).await?;
        self.end(hold, &begun).await
    }

    /// The act: from here on the tenant takes no changes. Where a hold stands, it says that instead.
    async fn begin(&self, hold: &Hold, tenant: &Tenant) -> Result<Tenant> {
        let ctx = self.kernel.system();
        let held = standing(&mut ctx.read().await?, tenant.id).await?;
        let found = tenants::tenant_get(&mut ctx.read().await?, &tenant.slug).await?;
        let before = found.ok_or_else(|| Error::not_found("tenant", tenant.name()))?;
        let after = before.erasing(held.is_some(), ctx.now());
        if before.erasure == after.erasure {
            return Ok(before);
        }
        let action = if held.is_some() { HOLD } else { ERASE };
        self.act(&ctx, &before, action, Some((hold, held.clone())), |_| after.clone()).await?;
        if let Some(held) = held {
            tracing::warn!(tenant = after.name(), hold = held, "a closed tenant waits for a legal hold");
        } else {
            tracing::info!(tenant = after.name(), "a closed tenant is being erased");
        }
        Ok(after)
    }

    /// Changes the tenant and records it in its own log and its partner's. Under a hold on the erasure, the legal holds must be
    /// what they were, and whoever sets one waits.
    async fn act(
        &self,
        ctx: &Ctx,
        before: &Tenant,
        action: Action,
        under: Option<(&Hold, Option<String>)>,
        change: impl Fn(&Tenant) -> Tenant,
    ) -> Result<Option<TenantErasure>> {
        let permit = ctx.authorize(action, &before.scope()).await?;
        let mut tx = ctx.begin(&permit).await?;
        let after = change(before);
        let mut audit = permit.audit().target(&after).before(before).after(&after);
        if let Some((hold, held)) = under {
            hold.renew(&self.kernel, &mut tx).await?;
            retention::log_lock(&mut tx, before.id.0).await?;
            if standing(&mut tx, before.id).await? != held {
                return Err(Error::Conflict);
            }
            if let Some(held) = held {
                audit = audit.also("legal_hold", held);
            }
        }
        tenants::tenant_update(&mut tx, &after).await?;
        tx.commit(audit.also_in(before.partner.id.0)).await?;
        Ok(after.erasure)
    }

    /// Clears up until nothing is left; `false` when a legal hold came, or the process is to stop.
    async fn clear(&self, hold: &Hold, tenant: &Tenant) -> Result<bool> {
        let units = CLEARED.iter().map(Work::Table);
        for work in [Work::Units].into_iter().chain(units).chain([Work::People, Work::Keys]) {
            loop {
                match retry::on_conflict(|| self.step(hold, tenant, &work)).await? {
                    Stepped::More if self.stop.is_cancelled() => return Ok(true),
                    Stepped::More => {}
                    Stepped::Clear => break,
                    Stepped::Held => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// One transaction of it.
    async fn step(&self, hold: &Hold, tenant: &Tenant, work: &Work) -> Result<Stepped> {
        let id = tenant.id;
        let mut tx = self.kernel.db.begin_derived();
        hold.renew(&self.kernel, &mut tx).await?;
        // a hold that is being set comes before or after this step, not into it
        retention::log_lock(&mut tx, id.0).await?;
        if standing(&mut tx, id).await?.is_some() {
            return Ok(Stepped::Held);
        }
        let now = self.kernel.clock.now();
        let gone = match work {
            Work::Table(table) => store::row_delete_some(&mut tx, table, id, ROWS).await?,
            Work::Units => store::unit_unlink_some(&mut tx, id, ROWS).await?,
            Work::People => self.people(&mut tx, tenant).await?,
            Work::Keys => store::subject_key_destroy_some(&mut tx, id, now, ROWS).await?,
        };
        tx.finish().await?;
        self.kernel.rows.changed(id.0);
        if matches!(work, Work::People | Work::Keys) && gone > 0 {
            self.kernel.subjects.forget();
            self.sequencer.reading().tails.forget();
        }
        Ok(if gone > 0 { Stepped::More } else { Stepped::Clear })
    }

    /// Lets some people go, with what only their keys gave to the search index of each log that they can be in.
    async fn people(&self, tx: &mut EngineTx, tenant: &Tenant) -> Result<u64> {
        let ctx = self.kernel.system();
        let logs = [tenant.id.0, tenant.partner.id.0, Scope::Platform.id()];
        let mut gone = 0;
        for principal in principals::principal_some(tx, tenant.id.0, AT_ONCE).await? {
            destroy_key(&ctx, &self.sequencer, tx, &principal, &logs).await?;
            gone += store::principal_delete(tx, tenant.id, principal.id.0).await?;
        }
        Ok(gone)
    }

    /// The last act: nothing is left. Errors: CONFLICT when something is, which the next run clears up.
    async fn end(&self, hold: &Hold, tenant: &Tenant) -> Result<Option<TenantErasure>> {
        let ctx = self.kernel.system();
        let permit = ctx.authorize(ERASED, &tenant.scope()).await?;
        let mut tx = ctx.begin(&permit).await?;
        hold.renew(&self.kernel, &mut tx).await?;
        retention::log_lock(&mut tx, tenant.id.0).await?;
        if standing(&mut tx, tenant.id).await?.is_some() || !is_clear(&mut tx, tenant.id).await? {
            return Ok(tenant.erasure);
        }
        let after = tenant.erased(ctx.now());
        tenants::tenant_update(&mut tx, &after).await?;
        store::lease_delete(&mut tx, tenant.id, self.node).await?;
        let audit = permit.audit().target(&after).before(tenant).after(&after);
        // whoever decides reads everything anew: what went was not counted
        let audit = audit.also_in(tenant.partner.id.0).deciding("erasure", after.name());
        tx.commit(audit).await?;
        tracing::info!(tenant = after.name(), "nothing but the record is left of a closed tenant");
        Ok(after.erasure)
    }
}

/// The name of a legal hold that stands in the tenant.
async fn standing(db: &mut impl Executor, tenant: TenantId) -> Result<Option<String>> {
    Ok(retention::hold_standing(db, tenant.0).await?.first().map(|hold| hold.name()))
}

/// Whether nothing is left; the change of the tenant itself that began it may be known to those who decide.
async fn is_clear(db: &mut impl Executor, tenant: TenantId) -> Result<bool> {
    let tables = CLEARED.iter().map(|t| (t.name, t.owner)).filter(|(name, _)| *name != "policy_change");
    for (table, owner) in tables.chain([(PEOPLE, "scope_id")]) {
        if store::row_count(db, table, owner, tenant).await? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The tables whose overwritten bytes are removed.
fn touched() -> Vec<&'static str> {
    CLEARED.iter().map(|t| t.name).chain([PEOPLE, KEYS, "tenant", "audit_posting"]).collect()
}
