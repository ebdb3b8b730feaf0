//! May this principal use this plugin, app or skill now, and why? Answered from memory, without a clock, a file or a
//! database: what is asked about is compiled first, and time is a parameter.
//!
//! # From facts to an answer
//!
//! 1. [`Facts`] are all that decisions about one tenant rest on, as plain data.
//! 2. [`compile`] checks them whole and makes a [`Snapshot`], or says in a [`CompileError`] what is wrong; without a
//!    snapshot the only safe answer is [`Decision::unavailable`].
//! 3. [`Snapshot::decide`] answers one question, [`Snapshot::usable`] and [`Snapshot::principals`] many in one pass;
//!    none of them asks anybody, and a decision allocates nothing.
//! 4. [`Snapshot::explain`] names every rule that matters, by which way its role came to the principal, which of them
//!    decided, and what would change the answer. It costs more, and is made only when asked for.
//! 5. [`Snapshot::apply`] makes the next snapshot out of what changed. The old one goes on answering until it is
//!    dropped; both share what did not change. [`Snapshot::compare`] says for whom that changes what.
//!
//! ```
//! use decision::{Change, Effect, Facts, Level, MaxStage, Plugin, Principal, PrincipalKind, Reason, Rule, Stage, Target};
//!
//! let facts = Facts {
//!     tenant: "acme".into(),
//!     active: true,
//!     principals: vec![Principal { id: "maria".into(), kind: PrincipalKind::User, suspended: false }],
//!     plugins: vec![Plugin {
//!         id: "codex/pitchbook".into(),
//!         marketplace: "codex".into(),
//!         stage: Stage::Live,
//!         sunset: None,
//!         missing: vec![],
//!         apps: vec![],
//!         skills: vec![],
//!     }],
//!     ..Facts::default()
//! };
//! let snapshot = decision::compile(&facts)?;
//! let (pitchbook, now) = (Target::Plugin("codex/pitchbook"), 1_795_000_000_000_000);
//! assert_eq!(snapshot.decide("maria", pitchbook, now).reason, Reason::NoMatchingRule);
//!
//! let next = snapshot.apply(&[Change::PutRule(Rule {
//!     id: "everybody-pitchbook".into(),
//!     tenant: None,
//!     role: None,
//!     target: pitchbook.to_owned(),
//!     effect: Effect::Available,
//!     max_stage: MaxStage::Live,
//!     seat_pool: None,
//!     not_before: None,
//!     not_after: None,
//!     level: Level::Ordinary,
//!     reason: "everybody works with companies".into(),
//! })])?;
//! assert!(next.decide("maria", pitchbook, now).allowed);
//! assert_eq!(next.explain("maria", pitchbook, now).deciding(), ["everybody-pitchbook"]);
//! # Ok::<(), decision::CompileError>(())
//! ```
//!
//! # How it answers
//!
//! For every role there is one cell of eleven bits a plugin: does a rule deny it, which effects are given up to
//! which stage, and does a rule speak of it that depends on a seat or on the time. Groups, included roles, marketplaces
//! and plugin groups are followed at compile time. A decision is the union of the cells of the principal's roles, read
//! against the stage that the plugin has now. Only rules with a seat or a window are looked at one by one, when the
//! question is asked, so that nothing ends later than it says.
//!
//! # Meaning
//!
//! `policies/entitlements.conf` defines it; the tests hold this engine equal to casbin on random policies. Nothing
//! matching is a no; a deny wins at whatever level it stands; what is said of a plugin holds for its apps and skills.
//! [`Reason`] documents which reason is given when several would do.

mod catalogue;
mod cell;
mod closure;
mod compare;
mod decide;
mod error;
mod explain;
#[cfg(any(test, feature = "file"))]
pub mod file;
mod footprint;
mod model;
mod mutant;
mod names;
mod people;
mod recall;
mod remedy;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
mod snapshot;
mod standing;
mod table;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, Moved, Shift};
pub use decide::{Decision, Reason, Usable};
pub use error::{CompileError, Kind};
pub use explain::{Explanation, Obstacle, Step, Told};
pub use footprint::Footprint;
pub use model::{
    Change, Effect, Facts, Group, Level, MAX_DEPTH, MaxStage, Plugin, PluginGroup, Principal, PrincipalKind,
    Role, Rule, SeatPool, Stage, Target,
};
pub use remedy::Remedy;
pub use snapshot::{Snapshot, compile};
