//! The lease on a tenant's erasure.

use std::time::Duration;

use kernel::{
    Kernel, Result,
    clock::Time,
    db::{Engine, Executor},
    error::Error,
    ids::TenantId,
};
use uuid::Uuid;

use super::store;

/// How long a lease is good without being renewed: what a take-over may have to wait. Every step renews it.
const LEASE: Duration = Duration::from_mins(2);

/// Who erases a tenant.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Lease {
    /// The process.
    pub holder: Uuid,
    /// Grows with every holder.
    pub fence: i64,
    /// Until when.
    pub lease_until: Time,
}

/// An erasure while it is ours.
pub struct Hold {
    /// Whose.
    pub tenant: TenantId,
    lease: Lease,
}

impl Hold {
    /// Takes the lease; none while another process has it.
    pub async fn take(kernel: &Kernel, node: Uuid, tenant: TenantId) -> Result<Option<Self>> {
        let now = kernel.clock.now();
        let mut tx = kernel.db.begin_derived();
        store::lease_insert(&mut tx, tenant).await?;
        let Some(seen) = store::lease_get(&mut tx, tenant).await? else { return Ok(None) };
        // the embedded database belongs to one process: whoever held the lease before is gone
        let embedded = kernel.db.engine() == Engine::Sqlite;
        if seen.holder != node && seen.lease_until > now && !embedded {
            return Ok(None);
        }
        let lease = Lease { holder: node, fence: seen.fence + 1, lease_until: now.plus(LEASE) };
        if store::lease_put(&mut tx, tenant, seen.fence, &lease).await? == 0 {
            return Ok(None);
        }
        tx.finish().await?;
        Ok(Some(Self { tenant, lease }))
    }

    /// Renews the lease in the transaction of a step, which fails whole when it is another's. Errors: CONFLICT.
    pub async fn renew(&self, kernel: &Kernel, tx: &mut impl Executor) -> Result<()> {
        self.put(tx, kernel.clock.now().plus(LEASE)).await
    }

    /// Gives the lease back, if it still is ours.
    pub async fn release(&self, kernel: &Kernel) -> Result<()> {
        let mut tx = kernel.db.begin_derived();
        match self.put(&mut tx, Time::from_micros(0)).await {
            Err(Error::Conflict) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => tx.finish().await,
        }
    }

    async fn put(&self, tx: &mut impl Executor, lease_until: Time) -> Result<()> {
        let lease = Lease { lease_until, ..self.lease };
        match store::lease_put(tx, self.tenant, self.lease.fence, &lease).await? {
            0 => Err(Error::Conflict),
            _ => Ok(()),
        }
    }
}
