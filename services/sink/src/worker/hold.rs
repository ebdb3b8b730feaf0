//! The lease on a sink.

use std::time::Duration;

use kernel::{Kernel, Result, clock::Time, db::Engine, error::Error};
use uuid::Uuid;

use crate::{
    model::SinkId,
    store::{self, Lease},
};

/// How long a lease is good without being renewed: what a take-over may have to wait, and then the time between two looks.
/// A sending may take longer: the lease is renewed meanwhile.
const LEASE: Duration = Duration::from_secs(6);
/// Renewed when less than this is left.
const RENEW: Duration = Duration::from_secs(4);
/// How often it is looked at during a sending.
const LOOK: Duration = Duration::from_secs(1);

/// A sink while it is ours.
pub struct Hold {
    /// Which one.
    pub sink: (Uuid, SinkId),
    lease: Lease,
}

impl Hold {
    /// Takes the lease; none while another process has it, or when the sink is gone.
    pub async fn take(kernel: &Kernel, node: Uuid, sink: (Uuid, SinkId)) -> Result<Option<Self>> {
        let now = kernel.clock.now();
        let mut tx = kernel.db.begin_derived();
        let Some(seen) = store::lease_get(&mut tx, sink.0, sink.1).await? else { return Ok(None) };
        let embedded = kernel.db.engine() == Engine::Sqlite;
        if seen.holder != node && seen.lease_until > now && !embedded {
            return Ok(None);
        }
        let lease = Lease { holder: node, fence: seen.fence + 1, lease_until: now.plus(LEASE) };
        if store::lease_put(&mut tx, sink, seen.fence, &lease).await? == 0 {
            return Ok(None);
        }
        tx.finish().await?;
        Ok(Some(Self { sink, lease }))
    }

    /// What every write says.
    pub fn fence(&self) -> i64 {
        self.lease.fence
    }

    /// Makes sure that the lease is good for some seconds. Errors: CONFLICT when it is another's.
    pub async fn renew(&mut self, kernel: &Kernel) -> Result<()> {
        let now = kernel.clock.now();
        if self.lease.lease_until > now.plus(RENEW) {
            return Ok(());
        }
        self.put(kernel, now.plus(LEASE)).await
    }

    /// Keeps the lease while `work` is done; work that has lost it is given up. Errors: CONFLICT when it is another's.
    pub async fn during<T>(&mut self, kernel: &Kernel, work: impl Future<Output = T>) -> Result<T> {
        self.renew(kernel).await?;
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(LOOK) => self.renew(kernel).await?,
            }
        }
    }

    /// Gives the lease back, if it still is ours.
    pub async fn release(&mut self, kernel: &Kernel) -> Result<()> {
        match self.put(kernel, Time::from_micros(0)).await {
            Err(Error::Conflict) => Ok(()),
            other => other,
        }
    }

    async fn put(&mut self, kernel: &Kernel, until: Time) -> Result<()> {
        let lease = Lease { lease_until: until, ..self.lease };
        let mut tx = kernel.db.begin_derived();
        if store::lease_put(&mut tx, self.sink, self.lease.fence, &lease).await? == 0 {
            return Err(Error::Conflict);
        }
        tx.finish().await?;
        self.lease = lease;
        Ok(())
    }
}
