//! The keys of persons: made when a person first appears in a record, destroyed when the person is erased.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use serde_json::Value;
use uuid::Uuid;

use super::sealed;
use crate::{
    clock::Time,
    db::Executor,
    error::{Error, Result},
    execute,
    ids::Ids,
    on,
};

/// Keys remembered.
const KEYS: usize = 20_000;

/// Whose data: a principal and the scope that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The scope's identity.
    pub scope: Uuid,
    /// The principal's identity.
    pub principal: Uuid,
}

/// Which key: its scope and its identity there. As text `scope.key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// The scope's identity.
    pub scope: Uuid,
    /// The key's identity.
    pub key: Uuid,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.scope, self.key)
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::internal("a sealed value names no key");
        let (scope, key) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self { scope: scope.parse().map_err(|_| bad())?, key: key.parse().map_err(|_| bad())? })
    }
}

/// A key; none once it was destroyed.
#[derive(Clone)]
pub(super) struct SubjectKey {
    pub(super) id: KeyId,
    pub(super) key: Option<Arc<[u8; 32]>>,
}

/// A key that becomes known to others with the commit of the transaction that made it.
pub(crate) struct FreshKey(Subject, SubjectKey);

/// When a key was read: the count of what was forgotten before, and the time.
type Read = (u64, Instant);

/// Everybody's keys.
pub struct SubjectKeys {
    /// Wraps the stored keys.
    wrapping: [u8; 32],
    by_subject: Cache<Subject, (Read, SubjectKey)>,
    by_id: Cache<KeyId, (Read, SubjectKey)>,
    /// Advanced by [`SubjectKeys::forget`]: what was read before it is not remembered after it.
    forgotten: AtomicU64,
    /// How long a key is trusted where another process may destroy it.
    shared: Option<Duration>,
}

impl SubjectKeys {
    /// `shared`: how long a remembered key is trusted, or none when only this process can destroy it.
    pub(crate) fn new(wrapping: [u8; 32], shared: Option<Duration>) -> Self {
        Self {
            wrapping,
            by_subject: Cache::new(KEYS),
            by_id: Cache::new(KEYS),
            forgotten: AtomicU64::new(0),
            shared,
        }
    }

    fn asking(&self) -> Read {
        (self.forgotten.load(Ordering::SeqCst), Instant::now())
    }

    fn trusts(&self, (count, since): Read) -> bool {
        count == self.forgotten.load(Ordering::SeqCst)
            && self.shared.is_none_or(|trust| since.elapsed() < trust)
    }

    /// The key to seal with, made if there is none; a new one is also pushed to `fresh`.
    pub(super) async fn obtain(
        &self,
        db: &mut impl Executor,
        subject: Subject,
        (ids, now): (&Ids, Time),
        fresh: &mut Vec<FreshKey>,
    ) -> Result<SubjectKey> {
        if let Some(FreshKey(_, key)) = fresh.iter().find(|k| k.0 == subject) {
            return Ok(key.clone());
        }
        if let Some((read, key)) = self.by_subject.get(&subject)
            && self.trusts(read)
        {
            return Ok(key);
        }
        let asked = self.asking();
        if let Some(found) = self.load(db, subject).await? {
            self.by_subject.insert(subject, (asked, found.clone()));
            return Ok(found);
        }
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key).map_err(Error::internal)?;
        let id = KeyId { scope: subject.scope, key: ids.new_id(now) };
        let wrapped = sealed::encrypt(&self.wrapping, id.key.as_bytes(), &key)?;
        let query = "INSERT INTO subject_key (scope_id, id, principal_id, wrapped, create_time) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (scope_id, principal_id) DO NOTHING";
        let inserted = execute!(
            db,
            sqlx::query(query)
                .bind(subject.scope)
                .bind(id.key)
                .bind(subject.principal)
                .bind(&wrapped)
                .bind(now)
        )?;
        if inserted == 0 {
            // another transaction made it since we looked; a retry finds it
            return Err(Error::Conflict);
        }
        let made = SubjectKey { id, key: Some(Arc::new(key)) };
        fresh.push(FreshKey(subject, made.clone()));
        Ok(made)
    }

    async fn load(&self, db: &mut impl Executor, subject: Subject) -> Result<Option<SubjectKey>> {
        let query = "SELECT id, wrapped FROM subject_key WHERE scope_id = $1 AND principal_id = $2";
        let row: Option<(Uuid, Option<Vec<u8>>)> =
            on!(db, |c| sqlx::query_as(query).bind(subject.scope).bind(subject.principal).fetch_optional(c))?;
        row.map(|(key, wrapped)| self.unwrap(KeyId { scope: subject.scope, key }, wrapped)).transpose()
    }

    fn unwrap(&self, id: KeyId, wrapped: Option<Vec<u8>>) -> Result<SubjectKey> {
        let Some(wrapped) = wrapped else { return Ok(SubjectKey { id, key: None }) };
        let key = sealed::decrypt(&self.wrapping, id.key.as_bytes(), &wrapped)?;
        let key =
            <[u8; 32]>::try_from(key).map_err(|_| Error::internal("a subject key has a wrong length"))?;
        Ok(SubjectKey { id, key: Some(Arc::new(key)) })
    }

    /// Makes the keys of a committed transaction known.
    pub(crate) fn committed(&self, fresh: &[FreshKey]) {
        for FreshKey(subject, key) in fresh {
            self.by_subject.insert(*subject, (self.asking(), key.clone()));
        }
    }

    /// Destroys a person's key, if there is one; nothing that was sealed with it opens any more. Returns its id.
    ///
    /// Have [`SubjectKeys::forget`] called once it is known how the transaction ended.
    pub async fn destroy(
        &self,
        db: &mut impl Executor,
        subject: Subject,
        now: Time,
    ) -> Result<Option<KeyId>> {
        let Some(found) = self.load(db, subject).await? else { return Ok(None) };
        let query = "UPDATE subject_key SET wrapped = NULL, destroy_time = $1 \
             WHERE scope_id = $2 AND principal_id = $3 AND destroy_time IS NULL";
        execute!(db, sqlx::query(query).bind(now).bind(subject.scope).bind(subject.principal))?;
        Ok(Some(found.id))
    }

    /// Forgets what was remembered of every key.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.by_subject.clear();
        self.by_id.clear();
    }

    /// Opens every sealed value of an entry in place; one whose key was destroyed becomes [`sealed::ERASED`].
    pub async fn open(&self, db: &mut impl Executor, entry: &mut Value) -> Result<()> {
        let event: Uuid = entry
            .get("id")
            .and_then(Value::as_str)
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| Error::internal("an audit entry without an id"))?;
        let mut found = Vec::new();
        find(entry, &mut String::new(), &mut found);
        for (pointer, id, bytes) in found {
            let plain = match self.by_id(db, id).await?.key {
                Some(key) => sealed::open(&key, event, &pointer, &bytes)?,
                None => Value::String(sealed::ERASED.to_owned()),
            };
            if let Some(place) = entry.pointer_mut(&pointer) {
                *place = plain;
            }
        }
        Ok(())
    }

    async fn by_id(&self, db: &mut impl Executor, id: KeyId) -> Result<SubjectKey> {
        if let Some((read, key)) = self.by_id.get(&id)
            && self.trusts(read)
        {
            return Ok(key);
        }
        let asked = self.asking();
        let query = "SELECT wrapped FROM subject_key WHERE scope_id = $1 AND id = $2";
        let wrapped: Option<Option<Vec<u8>>> =
            on!(db, |c| sqlx::query_scalar(query).bind(id.scope).bind(id.key).fetch_optional(c))?;
        let key = self.unwrap(id, wrapped.flatten())?;
        self.by_id.insert(id, (asked, key.clone()));
        Ok(key)
    }
}

/// Every sealed value under `value` with its JSON pointer (RFC 6901).
fn find(value: &Value, pointer: &mut String, found: &mut Vec<(String, KeyId, Vec<u8>)>) {
    if let Some((key, bytes)) = sealed::parse(value) {
        found.push((pointer.clone(), key, bytes));
        return;
    }
    let length = pointer.len();
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                find(field, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{i}"));
                find(item, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}
