//! How full the storage is, and what is refused for it: an audit record that cannot be written must stop the change that it
//! is of, so changes stop a little before the disk does, and reads stay up.

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

/// How full the storage is. What a PostgreSQL server has left is not known here; it says itself when it is full.
#[derive(Debug)]
pub struct Storage {
    dir: PathBuf,
    /// Bytes that the directory may take; 0 for as many as the file system has.
    quota: u64,
    percent: AtomicU8,
}

impl Storage {
    /// Of a directory, with a quota in bytes or 0.
    pub fn new(dir: &Path, quota: u64) -> Self {
        let storage = Self { dir: dir.to_owned(), quota, percent: AtomicU8::new(0) };
        storage.measure();
        storage
    }

    /// Percent used, as last measured.
    pub fn percent(&self) -> u8 {
        self.percent.load(Ordering::Relaxed)
    }

    /// Measures; what cannot be measured counts as it did before.
    pub fn measure(&self) {
        if let Some(percent) = used(&self.dir, self.quota) {
            let before = self.percent.swap(percent, Ordering::Relaxed);
            if percent >= WARN && before < WARN {
                tracing::warn!(percent, dir = %self.dir.display(), "storage is getting full; make room before {FULL} %, when changes stop");
            }
            if percent >= FULL && before < FULL {
                tracing::error!(percent, dir = %self.dir.display(), "storage is full: changes are refused, reads stay up");
            }
        }
    }

    /// Measures every few seconds until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let own = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || own.measure()).await;
        }
    }

    /// Refuses an action for which there is no room.
    pub fn admits(&self, action: &Action) -> Result<()> {
        let percent = self.percent();
        let grows = (action.noun == "tenant" && action.verb == "create") || action.verb.starts_with("export");
        let noun = action.noun.split('/').next().unwrap_or_default();
        let frees = STILL.contains(&noun) || matches!(action.verb, "revoke" | "suspend" | "remove_member");
        let changes = matches!(action.class, Class::Write | Class::Ingest) && !frees;
        if (percent >= HOLD && grows) || (percent >= FULL && changes) {
            return Err(Error::StorageFull { percent });
        }
        Ok(())
    }
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
    u8::try_from((used.saturating_mul(100) / all.max(1)).min(100)).ok()
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
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(dir.path(), 1_000);
        let create = action("role", "create", Class::Write);
        let tenant = action("tenant", "create", Class::Write);
        let export = action("audit", "export", Class::Read);
        let read = action("role", "get", Class::Read);
        let erase = action("privacy", "erased", Class::Write);
        let fill = |bytes: usize| {
            std::fs::write(dir.path().join("f"), vec![0; bytes]).unwrap();
            storage.measure();
            storage.percent()
        };
        assert_eq!(fill(899), 89);
        assert!([&create, &tenant, &export].iter().all(|a| storage.admits(a).is_ok()));
        assert_eq!(fill(900), 90);
        assert!(storage.admits(&create).is_ok());
        assert!([&tenant, &export].iter().all(|a| storage.admits(a).is_err()));
        assert_eq!(fill(950), 95);
        assert!([&create, &tenant, &export].iter().all(|a| storage.admits(a).is_err()));
        assert!([&read, &erase].iter().all(|a| storage.admits(a).is_ok()));
        assert_eq!(fill(10), 1);
        assert!(storage.admits(&tenant).is_ok());
    }

    #[test]
    fn a_file_system_is_measured_too() {
        let dir = tempfile::tempdir().unwrap();
        assert!(used(dir.path(), 0).is_some());
        assert!(used(Path::new("/nonexistent"), 0).is_none());
    }
}
