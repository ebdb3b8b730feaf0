//! `provostd doctor`: everything that the server needs, looked at before it is missed. It changes nothing.

use std::{
    cmp::Ordering, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, process::ExitCode,
    time::Duration,
};

use kernel::{
    clock::Clock,
    config::Config,
    db::{
        Engine, SCHEMA_NEWEST as NEWEST,
        look::{Look, look},
    },
};
use rustix::fs::{Access, access};

/// Free space below which the record is at risk, in percent of the disk.
const LOW_DISK_PERCENT: u64 = 20;
/// A clock before this (2026-01-01) was never set.
const EARLIEST_CLOCK_MICROS: i64 = 1_767_225_600_000_000;

/// Clocks of servers on one database may be this far apart.
const MOST_SKEW: Duration = Duration::from_millis(100);

/// How one check ended.
enum Finding {
    /// As it should be.
    Fine(String),
    /// Works, and will hurt.
    Warn(String),
    /// The server will not start or not serve.
    Fail(String),
}
use Finding::{Fail, Fine, Warn};

/// Runs every check, prints a line for each, and fails when one failed.
pub async fn run(config: Result<Config, Box<dyn std::error::Error>>) -> ExitCode {
    let mut findings = Vec::new();
    match config {
        Err(error) => findings.push(("configuration", Fail(error.to_string()))),
        Ok(config) => {
            findings.push(("configuration", Fine("readable, no unknown keys".to_owned())));
            findings.push(("clock", clock()));
            findings.push(("port", port(&config)));
            findings.push(("tls", tls(&config)));
            findings.push(("permissions", permissions(&config)));
            findings.push(("disk", disk(&config)));
            findings.push(("audit keys", keys(&config)));
            findings.extend(database(&config).await);
        }
    }
    let mut failed = false;
    for (what, finding) in &findings {
        let (mark, text) = match finding {
            Fine(text) => ("ok  ", text),
            Warn(text) => ("warn", text),
            Fail(text) => ("FAIL", text),
        };
        failed |= matches!(finding, Fail(_));
        println!("{mark}  {what:<14} {text}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn clock() -> Finding {
    let now = Clock::System.now();
    if now.micros() < EARLIEST_CLOCK_MICROS {
        return Fail(format!("the machine says it is {now}; set its clock (timedatectl set-ntp true)"));
    }
    Fine(now.to_string())
}

fn port(config: &Config) -> Finding {
    let address = config.server.listen;
    match TcpListener::bind(address) {
        Ok(_) => Fine(format!("{address} is free")),
        Err(error) => Fail(format!(
            "{address}: {error}; stop what uses it (ss -ltnp), or set `server.listen`; a running provostd also answers so"
        )),
    }
}

fn tls(config: &Config) -> Finding {
    let (cert, key) = (&config.server.tls_cert_file, &config.server.tls_key_file);
    if cert.as_os_str().is_empty() {
        let outside = !config.server.listen.ip().is_loopback();
        let text = "off; the port speaks plain text".to_owned();
        return if outside {
            Warn(format!("{text} to other machines: set `server.tls_cert_file` or use a TLS proxy"))
        } else {
            Fine(text)
        };
    }
    for path in [cert, key] {
        if let Err(error) = std::fs::File::open(path) {
            return Fail(format!("cannot read `{}`: {error}", path.display()));
        }
    }
    if mode(key).is_some_and(|m| m & 0o077 != 0) {
        return Warn(format!("`{}` can be read by others; chmod 600", key.display()));
    }
    Fine("certificate and key are readable".to_owned())
}

fn permissions(config: &Config) -> Finding {
    if !config.database.url.is_empty() {
        return Fine("no data directory: PostgreSQL".to_owned());
    }
    let dir = &config.server.data_dir;
    match mode(dir) {
        None => Fine(format!("`{}` will be created with mode 0700", dir.display())),
        Some(m) if m & 0o077 != 0 => {
            Warn(format!("`{}` is open to others (mode {:o}); chmod 700", dir.display(), m & 0o777))
        }
        Some(_) => match access(dir, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => Fine(format!("`{}` is private and writable", dir.display())),
            Err(error) => Fail(format!("cannot write in `{}`: {error}; check its owner", dir.display())),
        },
    }
}

fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|m| m.permissions().mode())
}

fn disk(config: &Config) -> Finding {
    let dir = config.server.data_dir.ancestors().find(|d| d.exists()).unwrap_or(Path::new("."));
    let stat = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => return Warn(format!("cannot ask the disk of `{}`: {error}", dir.display())),
    };
    let percent = stat.f_bavail.saturating_mul(100) / stat.f_blocks.max(1);
    let mib = stat.f_bavail.saturating_mul(stat.f_frsize) / (1024 * 1024);
    let text = format!("{percent} % free ({mib} MiB)");
    if percent < LOW_DISK_PERCENT {
        Warn(format!("{text}; the audit log only grows, make room"))
    } else {
        Fine(text)
    }
}

fn keys(config: &Config) -> Finding {
    match audit::sequencer::keys_found(config) {
        Err(error) => Fail(error.to_string()),
        Ok(true) => Fine("the keys that sign the audit logs are readable".to_owned()),
        Ok(false) if config.database.url.is_empty() => Fine("the first start makes one".to_owned()),
        Ok(false) => Warn(
            "the first start makes one; several provostd on one PostgreSQL need the same: copy it to `audit.key_file` of all"
                .to_owned(),
        ),
    }
}

async fn database(config: &Config) -> Vec<(&'static str, Finding)> {
    match look(config).await {
        Err(error) => vec![("database", Fail(error.to_string()))],
        Ok(Look::Nothing) => vec![("database", Fine("SQLite: the first start makes it".to_owned()))],
        Ok(Look::Answers { engine, version, skew }) => {
            let name = match engine {
                Engine::Sqlite => "SQLite",
                Engine::Postgres => "PostgreSQL",
            };
            let found = [("database", Fine(format!("{name} answers"))), ("schema", schema(engine, version))];
            found.into_iter().chain(skew.map(|skew| ("clocks", clocks(skew)))).collect()
        }
    }
}

/// How far the clock of a shared database is from ours: every process that serves on it is held against the same clock.
fn clocks(apart: Duration) -> Finding {
    let text = format!("the database's and this machine's are {} ms apart", apart.as_millis());
    if apart > MOST_SKEW {
        return Warn(format!(
            "{text}; of two acts on two servers the later one may come first in the log: set the clocks (timedatectl set-ntp true)"
        ));
    }
    Fine(text)
}

fn schema(engine: Engine, found: i64) -> Finding {
    match (engine, found.cmp(&NEWEST)) {
        (_, Ordering::Equal) => Fine(format!("version {found}, the newest")),
        (_, Ordering::Greater) => {
            Fail(format!("version {found} is newer than this provostd ({NEWEST}); start the newer provostd"))
        }
        (Engine::Sqlite, Ordering::Less) => {
            Fine(format!("version {found}, will become {NEWEST} at the next start"))
        }
        (Engine::Postgres, Ordering::Less) => {
            Fail(format!("version {found}, needed is {NEWEST}; run `provostd migrate`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_too_far_apart_are_said_to_be() {
        for fine in [0, 20, 100] {
            assert!(matches!(clocks(Duration::from_millis(fine)), Fine(_)), "{fine}");
        }
        for far in [101, 60_000] {
            assert!(
                matches!(clocks(Duration::from_millis(far)), Warn(text) if text.contains("clocks")),
                "{far}"
            );
        }
    }
}
