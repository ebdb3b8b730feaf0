//! How long the record is kept, what keeps it longer, and how a person leaves it.
//!
//! Three things meet here and give way in this order: a legal hold keeps events past their time and people from being
//! erased; an erasure destroys the key of a person's data and leaves every event; pruning takes whole bundles from the
//! front of a log once the last of their events may go. Whoever takes something away, and whoever sets a hold against it,
//! takes the log's row first (`store::log_lock`), so that of two at once the second sees what the first did.

use kernel::{
    Error, Result,
    authz::{Action, Class},
    ids::clip,
    scope::ScopeKind,
};

pub(crate) mod erasure;
mod hold;
mod model;
mod names;
mod ops;
mod prune;
pub mod rpc;
pub(crate) mod store;
#[cfg(test)]
mod tests;

pub(crate) use prune::PRUNE;
pub use prune::{prune, spawn_pruner};
pub use store::scope_get;

const EVERYWHERE: &[ScopeKind] = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];

const fn action(rpc: &'static str, noun: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun, verb, class, scopes: EVERYWHERE }
}

/// What can be asked for.
pub const ACTIONS: &[Action] =
    &[ops::GET, ops::UPDATE, hold::CREATE, hold::LIST, hold::RELEASE, erasure::ERASE];

/// The parent in the name of the only `collection` that it has: `tenants/acme/retention`.
fn parent_of<'n>(field: &str, collection: &str, name: &'n str) -> Result<&'n str> {
    if name == collection {
        return Ok("");
    }
    let parent = name.strip_suffix(collection).and_then(|front| front.strip_suffix('/'));
    parent.filter(|p| !p.is_empty()).ok_or_else(|| {
        Error::invalid(field, format!("`{}` is not a name of the form `[parent/]{collection}`", clip(name)))
    })
}
