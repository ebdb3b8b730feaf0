//! Reading the log is recorded in it. The first of equal reads is recorded at once; those that follow within a minute are
//! counted, and recorded as one event when the minute is over or the server stops. What a power cut takes is how often a read
//! was repeated within its last minute, never that it was made; no `audit.gap` tells of it, for nothing knows that there was one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::{
    Ctx, Kernel, Result,
    audit::Audit,
    authz::{Action, Permit},
    clock::Time,
};
use uuid::Uuid;

/// How long equal reads are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Reads that are counted at the same time; further ones are recorded one by one.
const MAX: usize = 10_000;

/// Who reads what: log, actor, action, and the filter or the name of what is read.
type Key = (Uuid, Uuid, &'static str, String);

/// Reads of the last minute.
#[derive(Default)]
pub struct Reads(Mutex<HashMap<Key, Counted>>);

/// Reads like one that is recorded.
#[derive(Clone)]
struct Counted {
    audit: Audit,
    until: Time,
    more: u64,
}

impl Reads {
    /// Records or counts a read before its answer leaves. `what` tells it from other reads by the same action.
    pub async fn record(
        &self,
        ctx: &Ctx,
        (action, permit): (&Action, &Permit),
        audit: Audit,
        what: &str,
    ) -> Result<()> {
        let key = (permit.scope().id(), ctx.caller().actor().id, action.verb, what.to_owned());
        if self.counts(&key, ctx.now()) {
            return Ok(());
        }
        // recorded before it is remembered: nobody's read is counted towards one that is not on the record
        ctx.record(audit.clone()).await?;
        let over = {
            let mut reads = self.lock();
            let fits = reads.contains_key(&key) || reads.len() < MAX;
            let fresh = Counted { audit, until: ctx.now().plus(WINDOW), more: 0 };
            fits.then(|| reads.insert(key, fresh)).flatten()
        };
        match over {
            Some(over) => over.write(ctx.kernel()).await,
            None => Ok(()),
        }
    }

    fn counts(&self, key: &Key, now: Time) -> bool {
        let mut reads = self.lock();
        let counted = reads.get_mut(key).filter(|counted| now < counted.until);
        counted.map(|counted| counted.more += 1).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what was counted and whose minute is over; with `all`, everything.
    pub async fn flush(&self, kernel: &Arc<Kernel>, all: bool) -> Result<()> {
        let now = kernel.clock.now();
        let over: Vec<_> = self.lock().extract_if(|_, counted| all || counted.until <= now).collect();
        let mut outcome = Ok(());
        for (key, counted) in over {
            if let Err(error) = counted.clone().write(kernel).await {
                // the next flush tries again
                let mut reads = self.lock();
                reads.entry(key).and_modify(|newer| newer.more += counted.more).or_insert(counted);
                outcome = Err(error);
            }
        }
        outcome
    }
}

impl Counted {
    async fn write(self, kernel: &Arc<Kernel>) -> Result<()> {
        match self.more {
            0 => Ok(()),
            more => kernel.system().record(self.audit.counting(more)).await,
        }
    }
}
