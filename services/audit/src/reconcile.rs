//! Whether the tables are what the log says: the log is folded and compared with them, row by row and field by field.
//!
//! It finds a lost event as well as a row that was changed, added or removed behind our back. Log, outbox and tables are read
//! in one snapshot of the database, and what waits for its index counts too, so the answer does not depend on the moment.
//! A log from which retention has removed events is folded from what was kept of them ([`crate::fold::Fold::keep`]).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kernel::{
    Kernel, Result,
    authz::{Action, Class},
    db::retry,
    error::Error,
    scope::Scope,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    event::store::log_minimum,
    fold::{Fold, store as log},
    log_name,
    retention::store::scope_get,
};

pub mod compare;
pub mod report;
pub mod store;

pub use report::{Difference, Report};

const fn action(verb: &'static str) -> Action {
    Action { rpc: "", noun: "audit", verb, class: Class::Write, scopes: &[] }
}
/// The tables are not what the log says. Of the process itself; no RPC asks for it.
pub(crate) const DIVERGENCE: Action = action("divergence");
/// They are again.
pub(crate) const AGREEMENT: Action = action("agreement");

/// Differences that the event of a divergence names.
const NAMED: usize = 40;

/// Compares one scope (nil for the platform) with its log, and raises what is new of what it finds: an event in that log and
/// a line at level error. The same differences are raised once, until something about them changes.
///
/// Errors: NOT_FOUND for a scope that is not there; OUT_OF_RANGE when retention removed events and nothing was kept of them.
pub async fn reconcile(kernel: &Arc<Kernel>, scope: Uuid) -> Result<Report> {
    let mut fold = None;
    resume(kernel, scope, &mut fold).await
}

/// The same, with what an earlier run folded of the log, and which takes its place.
async fn resume(kernel: &Arc<Kernel>, id: Uuid, fold: &mut Option<Fold>) -> Result<Report> {
    let scope = scope_get(&mut kernel.db.reader().await?, id).await?;
    let scope = scope.ok_or_else(|| Error::not_found("scope", id))?;
    let (folded, known, mut report) = retry::on_conflict(|| compared(kernel, &scope, fold.clone())).await?;
    *fold = Some(folded);
    let found = Some(report.digest.clone()).filter(|_| report.count > 0);
    if found != known {
        raise(kernel, &scope, &report).await?;
        report.is_new = found.is_some();
    }
    Ok(report)
}

/// The fold of the log, what the last comparison with it raised, and what this one finds.
async fn compared(
    kernel: &Arc<Kernel>,
    scope: &Scope,
    start: Option<Fold>,
) -> Result<(Fold, Option<String>, Report)> {
    let (id, name) = (scope.id(), scope.to_string());
    let mut db = kernel.db.reader().await?;
    let minimum = log_minimum(&mut db, id).await?;
    let mut fold = match start.filter(|fold| fold.next >= minimum) {
        Some(fold) => fold,
        None => Fold::begin(&mut db, id).await?,
    };
    let begun = fold.next;
    // most of it outside the snapshot, which should be short
    let size = log::size(&mut db, id).await?;
    fold.advance(&mut db, (id, &name), size, None).await?;
    drop(db);
    let mut db = kernel.db.snapshot().await?;
    let size = log::size(&mut db, id).await?;
    fold.advance(&mut db, (id, &name), size, None).await?;
    Fold::whole(&mut db, id, begun).await?;
    let mut all = fold.clone();
    all.pending(&mut db, (id, &name)).await?;
    let known = all.state.divergence.clone();
    let report = compare::compare(kernel, &mut db, scope, all).await?;
    Ok((fold, known, report))
}

/// What the event says.
#[derive(Serialize)]
struct Raised<'r> {
    /// Of all that was found; tells one finding from another.
    digest: &'r str,
    /// How many differences.
    count: usize,
    /// The first of them.
    differences: Vec<String>,
}

/// Records that tables and log differ, or agree again.
async fn raise(kernel: &Arc<Kernel>, scope: &Scope, report: &Report) -> Result<()> {
    let ctx = kernel.system();
    let action = if report.count > 0 { DIVERGENCE } else { AGREEMENT };
    let permit = ctx.authorize(action, scope).await?;
    let audit = permit.audit().also("audit_log", log_name(scope));
    if report.count == 0 {
        ctx.record(audit).await?;
        tracing::info!(%scope, "tables and audit log agree again");
        return Ok(());
    }
    let differences = report.differences.iter().take(NAMED).map(ToString::to_string).collect();
    let raised = Raised { digest: &report.digest, count: report.count, differences };
    ctx.record(audit.after(&raised)).await?;
    tracing::error!(%scope, count = report.count, tables = report.tables(), "the tables are not what the audit log says");
    Ok(())
}

/// Every scope that has a log: the platform, partners and tenants, deleted ones too.
pub async fn scopes(kernel: &Kernel) -> Result<Vec<Uuid>> {
    let mut db = kernel.db.reader().await?;
    let mut scopes = vec![Uuid::nil()];
    scopes.extend(store::scope_list(&mut db).await?);
    Ok(scopes)
}

/// The periodic job: compares every scope, one after the other, every `audit.reconcile_interval_seconds` until `stop`.
/// The first time comes after a tenth of that, so that a process that is often started anew compares too.
pub fn spawn_reconciler(
    kernel: &Arc<Kernel>,
    meter: &Meter,
    stop: CancellationToken,
) -> Option<JoinHandle<()>> {
    let every = Duration::from_secs(kernel.config.audit.reconcile_interval_seconds);
    if every.is_zero() {
        return None;
    }
    let mut job = Job::new(kernel, meter);
    Some(tokio::spawn(async move {
        let mut pause = every / 10;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let begun = Instant::now();
            tokio::select! {
                () = stop.cancelled() => return,
                () = job.run() => {}
            }
            pause = every.saturating_sub(begun.elapsed());
        }
    }))
}

/// Rows of all folds that a job keeps from one run to the next; it folds the other logs anew.
const KEPT: usize = 200_000;

/// Compares all scopes again and again.
pub struct Job {
    kernel: Arc<Kernel>,
    folds: std::collections::HashMap<Uuid, Fold>,
    divergences: Counter<u64>,
}

impl Job {
    /// One that has compared nothing yet.
    pub fn new(kernel: &Arc<Kernel>, meter: &Meter) -> Self {
        let divergences = meter
            .u64_counter("provost.audit.divergence")
            .with_description(
                "Comparisons that found, anew or otherwise than before, that tables and audit log differ",
            )
            .build();
        // a counter that was never added to is not shown, and an alarm on its rise needs it at zero
        divergences.add(0, &[]);
        Self { kernel: Arc::clone(kernel), folds: std::collections::HashMap::new(), divergences }
    }

    /// Compares every scope once. What goes wrong with one of them is logged, and the next run tries again.
    pub async fn run(&mut self) {
        let scopes = match scopes(&self.kernel).await {
            Ok(scopes) => scopes,
            Err(error) => {
                tracing::error!(%error, "tables and audit logs were not compared; the next run tries again");
                return;
            }
        };
        for scope in scopes {
            let mut fold = self.folds.remove(&scope);
            match resume(&self.kernel, scope, &mut fold).await {
                Ok(report) if report.is_new => {
                    self.divergences.add(1, &[KeyValue::new("scope", report.scope.clone())]);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%scope, %error, "tables and audit log were not compared; the next run tries again");
                }
            }
            self.keep(scope, fold);
        }
    }

    fn keep(&mut self, scope: Uuid, fold: Option<Fold>) {
        let rows: usize = self.folds.values().map(|f| f.state.len()).sum();
        if let Some(fold) = fold.filter(|f| rows + f.state.len() <= KEPT) {
            self.folds.insert(scope, fold);
        }
    }
}
