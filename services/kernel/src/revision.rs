//! How often what decisions rest on has changed: one count for each tenant and one for the catalogue, advanced in the
//! transaction of the change.
//!
//! Whoever decides compares the counts that it decides by with those here and in the database, and hands on a
//! [`Revision`] as a token: "decide by nothing older than this".

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::AssertSqlSafe;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    authz::Action,
    db::{Executor, bulk},
    error::{Error, Result},
    execute, hash, on,
    scope::Scope,
};

/// The scope under which the catalogue is counted.
pub const CATALOG: Uuid = Uuid::nil();
/// Changes that are kept of a scope, at least.
pub const KEPT: i64 = 4_096;
/// How often the older ones are deleted: with every so many changes.
const SWEEP: i64 = 512;
/// Bytes of the MAC in a token.
const TAG: usize = 16;
/// Form of the tokens.
const VERSION: u8 = 2;

/// Nouns that decisions about a tenant rest on.
const OF_TENANT: &[&str] = &[
    "tenant",
    "principal",
    "group",
    "role",
    "plugin_group",
    "seat_pool",
    "entitlement",
    "connector_binding",
    "stage_override",
];
/// Nouns of the catalogue that they rest on.
const OF_CATALOG: &[&str] = &["marketplace", "plugin", "plugin_version"];

pub use crate::secret::epoch_renew;

/// Up to which change of a tenant, and of the catalogue, something is known. Zero is "whatever there is".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Count of the tenant's changes.
    pub tenant: i64,
    /// Count of the catalogue's.
    pub catalog: i64,
}

impl Revision {
    /// Whether everything is in it that `other` knows of.
    pub fn covers(self, other: Self) -> bool {
        self.tenant >= other.tenant && self.catalog >= other.catalog
    }
}

/// A change that decisions rest on.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PolicyChange {
    /// The count that it made.
    pub revision: i64,
    /// What kind of resource.
    pub kind: String,
    /// Its resource name.
    pub name: String,
}

/// What this process knows of the counts, and the key of the tokens.
pub struct Revisions {
    key: [u8; 32],
    epoch: Uuid,
    known: Mutex<HashMap<Uuid, i64>>,
    /// Rings when this process has made a change.
    pub advanced: Notify,
}

impl Revisions {
    /// With the key of the tokens and the epoch of the store, the same on every node.
    pub fn new(key: [u8; 32], epoch: Uuid) -> Self {
        Self { key, epoch, known: Mutex::default(), advanced: Notify::new() }
    }

    /// Which store the counts are of: a UUIDv7, made when its database was set up, or restored and renewed.
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// The newest counts that this process has made itself or heard of.
    pub fn known(&self, tenant: Uuid) -> Revision {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |scope| known.get(&scope).copied().unwrap_or(0);
        Revision { tenant: of(tenant), catalog: of(CATALOG) }
    }

    /// Takes note of a count.
    pub fn heard(&self, scope: Uuid, revision: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.entry(scope).or_default();
        *last = revision.max(*last);
    }

    /// Takes back a count that was heard of and is not in the database: its transaction failed after all.
    pub fn settle(&self, scope: Uuid, heard: i64, found: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = known.get_mut(&scope)
            && *last == heard
        {
            *last = found;
        }
    }

    /// The token of a revision; a nil tenant stands for every one.
    pub fn token(&self, tenant: Uuid, revision: Revision) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.epoch.as_bytes());
        bytes.extend(tenant.as_bytes());
        bytes.extend(revision.tenant.to_be_bytes());
        bytes.extend(revision.catalog.to_be_bytes());
        let tag = hash::mac(&self.key, &bytes);
        bytes.extend(tag.into_iter().take(TAG));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The revision of a token for `tenant`; an empty one asks for nothing. One of another deployment, of another tenant, or
    /// of the store as it was before a restore is refused: its count means something else here, so nobody waits for it.
    pub fn open(&self, tenant: Uuid, token: &str) -> Result<Revision> {
        if token.is_empty() {
            return Ok(Revision::default());
        }
        let wrong = || {
            Error::invalid(
                "revision_token",
                "is none that this deployment gave out for this tenant; send what a change or a decision returned, or nothing",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let split = bytes.len().checked_sub(TAG).ok_or_else(wrong)?;
        let (payload, tag) = bytes.split_at_checked(split).ok_or_else(wrong)?;
        if !hash::mac_matches(&self.key, payload, tag) {
            return Err(wrong());
        }
        let (version, rest) = payload.split_first_chunk::<1>().ok_or_else(wrong)?;
        let (epoch, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let (of, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let (of_tenant, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (of_catalog, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let of = Uuid::from_bytes(*of);
        if *version != [VERSION] || !rest.is_empty() || !(of.is_nil() || of == tenant) {
            return Err(wrong());
        }
        if Uuid::from_bytes(*epoch) != self.epoch {
            return Err(Error::invalid(
                "revision_token",
                "is of this store before it was restored; ask without it, or send what a newer change or decision returned",
            ));
        }
        Ok(Revision { tenant: i64::from_be_bytes(*of_tenant), catalog: i64::from_be_bytes(*of_catalog) })
    }
}

/// Whether decisions rest on what an action changes.
pub(crate) fn concerns(action: &Action, scope: &Scope) -> bool {
    match scope {
        // a role is nobody's at first and no rule can name it
        Scope::Tenant(_) => {
            OF_TENANT.contains(&action.noun) && (action.noun, action.verb) != ("role", "create")
        }
        Scope::Platform => OF_CATALOG.contains(&action.noun),
        Scope::Partner(_) => false,
    }
}

/// Counts a change, in its transaction: writers of one scope take turns from here until they commit.
pub(crate) async fn advance(db: &mut impl Executor, scope: Uuid, kind: &str, name: &str) -> Result<i64> {
    let query = "INSERT INTO policy_revision (scope_id, revision) VALUES ($1, 1) \
         ON CONFLICT (scope_id) DO UPDATE SET revision = policy_revision.revision + 1 RETURNING revision";
    let revision: i64 = on!(db, |c| sqlx::query_scalar(query).bind(scope).fetch_one(c))?;
    let query = "INSERT INTO policy_change (scope_id, revision, kind, name) VALUES ($1, $2, $3, $4)";
    execute!(db, sqlx::query(query).bind(scope).bind(revision).bind(kind).bind(name))?;
    if revision % SWEEP == 0 {
        let query = "DELETE FROM policy_change WHERE scope_id = $1 AND revision <= $2";
        execute!(db, sqlx::query(query).bind(scope).bind(revision - KEPT))?;
    }
    Ok(revision)
}

/// The counts of a tenant and of the catalogue.
pub async fn revision_get(db: &mut impl Executor, tenant: Uuid) -> Result<Revision> {
    let query = "SELECT scope_id, revision FROM policy_revision WHERE scope_id = $1 OR scope_id = $2";
    let rows: Vec<(Uuid, i64)> = on!(db, |c| sqlx::query_as(query).bind(tenant).bind(CATALOG).fetch_all(c))?;
    let of = |scope| rows.iter().find(|(id, _)| *id == scope).map_or(0, |(_, revision)| *revision);
    Ok(Revision { tenant: of(tenant), catalog: of(CATALOG) })
}

/// The counts of those of `scopes` that have any.
pub async fn revision_list(db: &mut impl Executor, scopes: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
    let mut found = HashMap::with_capacity(scopes.len());
    for (part, values) in bulk(db.engine(), scopes, 1) {
        let query =
            format!("SELECT scope_id, revision FROM policy_revision WHERE scope_id IN (VALUES {values})");
        let rows: Vec<(Uuid, i64)> = on!(db, |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(query.clone()));
            for scope in part {
                query = query.bind(*scope);
            }
            query.fetch_all(c)
        })?;
        found.extend(rows);
    }
    Ok(found)
}

/// What changed in a scope after `since`, the oldest first; fewer than there were when some are not kept any more.
pub async fn change_list(db: &mut impl Executor, scope: Uuid, since: i64) -> Result<Vec<PolicyChange>> {
    let query = "SELECT revision, kind, name FROM policy_change WHERE scope_id = $1 AND revision > $2 ORDER BY revision";
    on!(db, |c| sqlx::query_as(query).bind(scope).bind(since).fetch_all(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACME: Uuid = Uuid::from_u128(7);
    const NOW: Revision = Revision { tenant: 5, catalog: 9 };

    const STORE: Uuid = Uuid::from_u128(70);

    fn revisions() -> Revisions {
        Revisions::new([7; 32], STORE)
    }

    #[test]
    fn a_token_says_which_revision_to_those_who_gave_it_out() {
        let token = revisions().token(ACME, NOW);
        assert_eq!(revisions().open(ACME, &token).unwrap(), NOW);
        assert!(revisions().open(Uuid::from_u128(8), &token).is_err(), "another tenant");
        assert!(Revisions::new([8; 32], STORE).open(ACME, &token).is_err(), "another deployment");
        let restored = Revisions::new([7; 32], Uuid::from_u128(71)).open(ACME, &token).unwrap_err();
        assert!(restored.message().contains("restored"), "{restored}");
        let of_all = revisions().token(CATALOG, Revision { tenant: 0, catalog: 9 });
        assert_eq!(revisions().open(ACME, &of_all).unwrap(), Revision { tenant: 0, catalog: 9 });
        assert_eq!(revisions().open(ACME, "").unwrap(), Revision::default());
    }

    #[test]
    fn what_is_heard_of_only_grows_but_for_what_was_not_there_after_all() {
        let revisions = revisions();
        revisions.heard(ACME, 5);
        revisions.heard(ACME, 3);
        assert_eq!(revisions.known(ACME), Revision { tenant: 5, catalog: 0 });
        revisions.settle(ACME, 4, 2);
        assert_eq!(revisions.known(ACME).tenant, 5, "something newer was heard of meanwhile");
        revisions.settle(ACME, 5, 4);
        assert_eq!(revisions.known(ACME).tenant, 4);
    }

    #[test]
    fn one_revision_covers_another_when_both_counts_do() {
        assert!(NOW.covers(NOW) && NOW.covers(Revision::default()));
        assert!(!NOW.covers(Revision { tenant: 6, catalog: 0 }));
        assert!(!NOW.covers(Revision { tenant: 0, catalog: 10 }));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_is_accepted(byte in 0_usize..65, bit in 0_u8..8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(revisions().token(ACME, NOW)).unwrap();
            prop_assert_eq!(bytes.len(), 65);
            bytes[byte] ^= 1 << bit;
            prop_assert!(revisions().open(ACME, &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = revisions().open(ACME, &text);
        }
    }
}
