//! Corrections: events taken back, amended, or put in later.
//!
//! Events are never changed and never removed. A void names an event that does not stand; what an event says instead, or what was
//! missing, are further events in further places. So whoever reads events asks for those that stand (`stands!`), and the rollups of
//! a day on which an event was taken back are stale until the roller has derived them again: until then, that day is answered from
//! its events ([`crate::rollup::stale`]).
//!
//! Every act of a tenant holds its `usage_head`, so they take turns, with each other and with events that come in. What a session
//! counts in ([`crate::claim`]) is decided once and stays so: an event taken back leaves its session to nobody else.

pub mod model;
pub mod ops;
pub mod rpc;
pub mod stage;
pub mod store;

mod effect;
mod pick;
mod void;

/// SQL: that the event under an alias stands.
macro_rules! stands {
    ($event:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM usage_void x WHERE x.tenant_id = ",
            $event,
            ".tenant_id AND x.seq = ",
            $event,
            ".seq AND x.undone_time IS NULL)"
        )
    };
}
pub(crate) use stands;
