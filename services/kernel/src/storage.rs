//! How full the storage is, and what is refused for it: an audit record that cannot be written must stop the change that it
//! is of, so changes stop a little before the disk does, and reads stay up.
//!
//! With SQLite the data directory is measured, against the quota or its file system. With PostgreSQL the database is, against
//! the quota, as it says itself (`pg_database_size`); and the file system of the data directory, where keys and files are. What
//! a PostgreSQL server's disk has left nobody can ask it: without a quota it says so when it is full.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    authz::{Action, Class},
    db::Db,
    error::{Error, Result},
};

/// Percent from which it is worth a warning.
pub const WARN: u8 = 80;
/// Percent from which exports and new tenants are refused.
pub const HOLD: u8 = 90;
/// Percent from which changes are refused.
pub const FULL: u8 = 95;
/// How often it is measured.
const EVERY: Duration = Duration::from_secs(5);
/// What gives space back or takes rights away stays possible.
const STILL: [&str; 3] = ["retention", "privacy", "legal_hold"];

/// How full the storage is.
pub struct Storage {
    dir: PathBuf,
    db: Db,
    /// Bytes that the directory or the database may take; 0 for as many as there are.
    quota: u64,
    percent: AtomicU8,
}

impl Storage {
    /// Of a data directory and a database, with a quota in bytes or 0; measured.
    pub async fn new(dir: &Path, db: &Db, quota: u64) -> Self {
        let storage = Self { dir: dir.to_owned(), db: db.clone(), quota, percent: AtomicU8::new(0) };
        storage.measure().await;
        storage
    }

    /// Percent used, as last measured.
    pub fn percent(&self) -> u8 {
        self.percent.load(Ordering::Relaxed)
    }

    /// Measures; what cannot be measured counts as it did before.
    pub async fn measure(&self) {
        let Some(percent) = self.used().await else { return };
        let before = self.percent.swap(percent, Ordering::Relaxed);
        if percent >= WARN && before < WARN {
            tracing::warn!(percent, dir = %self.dir.display(), "storage is getting full; make room before {FULL} %, when changes stop");
        }
        if percent >= FULL && before < FULL {
            tracing::error!(percent, dir = %self.dir.display(), "storage is full: changes are refused, reads stay up");
        }
    }

    /// Percent used of what is fullest.
    async fn used(&self) -> Option<u8> {
        let size = match self.db.size().await {
            Ok(size) => size,
            Err(error) => {
                tracing::warn!(%error, "the size of the database was not measured");
                return None;
            }
        };
        // the quota is the database's where that lies elsewhere
        let of_dir = if size.is_some() { 0 } else { self.quota };
        let dir = self.dir.clone();
        let dir = tokio::task::spawn_blocking(move || used(&dir, of_dir)).await.ok().flatten();
        let database = size.filter(|_| self.quota > 0).map(|size| percent(size, self.quota));
        dir.max(database)
    }

    /// Measures every few seconds until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            self.measure().await;
        }
    }

    /// Refuses an action for which there is no room.
    pub fn admits(&self, action: &Action) -> Result<()> {
        match self.percent() {
            percent if refused(percent, action) => Err(Error::StorageFull { percent }),
            _ => Ok(()),
        }
    }
}

fn refused(percent: u8, action: &Action) -> bool {
    let grows = (action.noun == "tenant" && action.verb == "create") || action.verb.starts_with("export");
    let noun = action.noun.split('/').next().unwrap_or_default();
    let frees = STILL.contains(&noun)
        || matches!(
            action.verb,
            "revoke" | "suspend" | "remove_member" | "erase" | "erased" | "hold_erasure"
        );
    let changes = matches!(action.class, Class::Write | Class::Ingest) && !frees;
    (percent >= HOLD && grows) || (percent >= FULL && changes)
}

fn percent(used: u64, all: u64) -> u8 {
    u8::try_from((used.saturating_mul(100) / all.max(1)).min(100)).unwrap_or(100)
}

/// Percent used of the quota or, without one, of the file system.
fn used(dir: &Path, quota: u64) -> Option<u8> {
    let (used, all) = if quota > 0 {
        let sizes = std::fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.metadata().ok());
        (sizes.filter(std::fs::Metadata::is_file).map(|m| m.len()).sum(), quota)
    } else {
        let disk = rustix::fs::statvfs(dir).ok()?;
        // what only root may use does not help us
        (
            disk.f_blocks.saturating_sub(disk.f_bfree),
            disk.f_blocks.saturating_sub(disk.f_bfree) + disk.f_bavail,
        )
    };
    Some(percent(used, all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::ScopeKind;

    fn action(noun: &'static str, verb: &'static str, class: Class) -> Action {
        Action { rpc: "x", noun, verb, class, scopes: &[ScopeKind::Tenant] }
    }

    #[test]
    fn what_grows_is_refused_first_then_what_changes_and_never_what_reads_or_frees() {
        let create = action("role", "create", Class::Write);
        let tenant = action("tenant", "create", Class::Write);
        let export = action("audit", "export", Class::Read);
        let read = action("role", "get", Class::Read);
        let erase = action("privacy", "erased", Class::Write);
        let refused_at =
            |percent| [&create, &tenant, &export, &read, &erase].map(|action| refused(percent, action));
        assert_eq!(refused_at(89), [false; 5]);
        assert_eq!(refused_at(90), [false, true, true, false, false]);
        assert_eq!(refused_at(94), refused_at(90));
        assert_eq!(refused_at(95), [true, true, true, false, false]);
        assert_eq!(refused_at(100), refused_at(95));
    }

    #[test]
    fn a_quota_is_measured_by_the_sizes_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let fill = |bytes: usize| {
            std::fs::write(dir.path().join("f"), vec![0; bytes]).unwrap();
            used(dir.path(), 1_000)
        };
        assert_eq!([fill(899), fill(900), fill(10), fill(5_000)], [Some(89), Some(90), Some(1), Some(100)]);
    }

    #[test]
    fn a_file_system_is_measured_too() {
        let dir = tempfile::tempdir().unwrap();
        assert!(used(dir.path(), 0).is_some());
        assert!(used(Path::new("/nonexistent"), 0).is_none());
    }
}
