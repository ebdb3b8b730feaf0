//! What becomes of a closed tenant: its record stays by retention, and everything else goes once its time has come.
//!
//! Beginning is the act: audited in the tenant's log and its partner's, in one transaction, after which the tenant takes no
//! changes. Deleting is clearing up ([`tables`] says what), in small transactions under a lease, taken up again by the next
//! run, of whichever process, when one dies in between. The end is an act again: nothing was left in its own transaction.
//! A legal hold in the tenant puts it off and, when it comes in between, keeps what is left.

use std::{sync::Arc, time::Duration};

use kernel::{
    Kernel, Result,
    authz::{Action, Class},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Sequencer;

mod lease;
mod ops;
mod store;
pub mod tables;

pub use ops::Eraser;

const fn action(verb: &'static str) -> Action {
    Action { rpc: "", noun: "tenant", verb, class: Class::Write, scopes: &[] }
}
/// A tenant that was closed before there was a time for it gets one.
const SCHEDULE: Action = action("schedule_erasure");
/// A legal hold stands against it.
const HOLD: Action = action("hold_erasure");
/// It begins, or goes on after a hold.
const ERASE: Action = action("erase");
/// Nothing is left.
const ERASED: Action = action("erased");
/// Of the process itself; no RPC asks for them.
pub(crate) const ACTIONS: &[Action] = &[SCHEDULE, HOLD, ERASE, ERASED];

/// Time between two runs.
const EVERY: Duration = Duration::from_hours(1);
/// The same while something has begun.
const SOON: Duration = Duration::from_mins(1);

/// Erases what is due of closed tenants now and then until `stop`.
pub fn spawn_eraser(
    kernel: &Arc<Kernel>,
    sequencer: &Arc<Sequencer>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let eraser = Eraser::new(kernel, sequencer, stop.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            let pause = match eraser.run().await {
                Ok(true) => SOON,
                Ok(false) => EVERY,
                Err(error) => {
                    tracing::error!(%error, "no closed tenant was looked at; the next run tries again");
                    EVERY
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    })
}

/// The same once, for whoever waits for it; returns whether something has begun that is not done.
pub async fn erase_closed(kernel: &Arc<Kernel>, sequencer: &Arc<Sequencer>) -> Result<bool> {
    Eraser::new(kernel, sequencer, CancellationToken::new()).run().await
}
