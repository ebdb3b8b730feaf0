//! Revision and times: what every row of a changing resource carries, and the etag made of it.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    error::{Error, Result},
};

/// Revision and times of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Stamp {
    /// Counts changes, from 1; the etag.
    pub revision: i64,
    /// When it was created.
    pub create_time: Time,
    /// When it last changed.
    pub update_time: Time,
    /// When it was deleted.
    pub delete_time: Option<Time>,
}

impl Stamp {
    /// Of something that is being created.
    pub fn new(now: Time) -> Self {
        Self { revision: 1, create_time: now, update_time: now, delete_time: None }
    }

    /// Of the next change. Never goes back in time, whatever the machine's clock does.
    #[must_use]
    pub fn next(&self, now: Time) -> Self {
        Self { revision: self.revision + 1, update_time: now.max(self.update_time), ..self.clone() }
    }

    /// Of a deletion; `name` is for the error when it is deleted already.
    pub fn deleted(&self, name: impl Display, now: Time) -> Result<Self> {
        self.alive(name)?;
        Ok(Self { delete_time: Some(now), ..self.next(now) })
    }

    /// Of an undeletion; `name` is for the error when it is not deleted.
    pub fn undeleted(&self, name: impl Display, now: Time) -> Result<Self> {
        match self.delete_time {
            Some(_) => Ok(Self { delete_time: None, ..self.next(now) }),
            None => Err(Error::illegal_state(
                &name,
                format!("`{name}` is not deleted, so there is nothing to undelete"),
            )),
        }
    }

    /// Refuses a deleted resource.
    pub fn alive(&self, name: impl Display) -> Result<()> {
        match self.delete_time {
            None => Ok(()),
            Some(_) => Err(Error::illegal_state(&name, format!("`{name}` is deleted; undelete it first"))),
        }
    }

    /// The etag.
    pub fn etag(&self) -> String {
        etag(self.revision)
    }

    /// Refuses a stale etag; an empty one is not checked.
    pub fn matches(&self, etag: &str, name: impl Display) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(Error::EtagStale { name: name.to_string() })
    }
}

/// The etag of a revision.
pub fn etag(revision: i64) -> String {
    format!("r{revision}")
}

/// An update that says `AND revision = $n` and changed no row lost to a concurrent one.
pub fn changed_one(rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(Error::Conflict) }
}
