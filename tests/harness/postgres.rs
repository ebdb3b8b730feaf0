//! A PostgreSQL of our own: initdb in a temporary directory, a free port, gone with the process that started it.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

/// Name of the database that new ones are copied from.
const TEMPLATE: &str = "provost_template";

/// A running PostgreSQL.
pub struct Postgres {
    port: u16,
    /// Directory of its socket, escaped for a URL: a local connection by TCP costs twice the processor time.
    socket: String,
    /// Its standard input: when this end closes, with the process however that ends, PostgreSQL stops and its directory goes.
    leash: Child,
}

/// The PostgreSQL of this process, started at first use.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

impl Postgres {
    /// Starts one.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one that `initdb` made with more arguments.
    pub fn start_with(more: &[&str]) -> Self {
        let bin = binaries();
        let dir = tempfile::Builder::new().prefix("provost-pg-").tempdir().unwrap().keep();
        let (uid, gid) = unprivileged();
        chown(&dir, Some(uid), Some(gid)).unwrap();
        let data = dir.join("data");
        let as_user = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&dir).env("LC_ALL", "C").stdout(Stdio::null());
            if rustix::process::getuid().is_root() {
                command.uid(uid).gid(gid);
            }
            command
        };
        let initdb = as_user(&bin.join("initdb"))
            .args(["--auth=trust", "--username=provost", "--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(&data)
            .args(more)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        // another process may take the port between our look and its start: then look again
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let leash = as_user(Path::new("/bin/sh"))
                .arg("-c")
                .arg(LEASHED)
                .arg(&dir)
                .arg(bin.join("postgres"))
                .arg(port.to_string())
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let socket = dir.to_string_lossy().replace('/', "%2F");
            let postgres = Self { port, socket, leash };
            if postgres.answers() {
                postgres.template();
                return postgres;
            }
        }
        panic!("PostgreSQL did not start; its log is in {}", dir.display());
    }

    /// Waits until it answers.
    fn answers(&self) -> bool {
        (0..200).any(|_| {
            thread::sleep(Duration::from_millis(25));
            psql(self.port, "postgres", "SELECT 1").is_ok()
        })
    }

    fn template(&self) {
        psql(self.port, "postgres", &format!("CREATE DATABASE {TEMPLATE}")).unwrap();
    }

    /// URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://provost@{}:{}/{database}", self.socket, self.port)
    }

    /// URL of the database that [`Postgres::fresh`] copies; migrate it once.
    pub fn template_url(&self) -> String {
        self.url(TEMPLATE)
    }

    /// A database of one's own, a copy of the template.
    pub fn fresh(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::SeqCst));
        psql(
            self.port,
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy"),
        )
        .unwrap();
        self.url(&name)
    }

    /// URL of an empty database of one's own.
    pub fn empty(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("e{}", COUNT.fetch_add(1, Ordering::SeqCst));
        psql(self.port, "postgres", &format!("CREATE DATABASE {name}")).unwrap();
        self.url(&name)
    }

    /// Runs SQL in a database.
    pub fn psql(&self, url: &str, sql: &str) -> String {
        let name = url.rsplit('/').next().unwrap();
        psql(self.port, name, sql).unwrap()
    }

    /// Stops it at once, as a machine that loses power would; [`Postgres::again`] starts it on the same data and port.
    pub fn crash(&mut self) {
        self.tell("stop");
        while psql(self.port, "postgres", "SELECT 1").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it after a crash.
    pub fn again(&mut self) {
        self.tell("start");
        assert!(self.answers(), "PostgreSQL did not come back");
    }

    fn tell(&mut self, word: &str) {
        let stdin = self.leash.stdin.as_mut().unwrap();
        writeln!(stdin, "{word}").and_then(|()| stdin.flush()).unwrap();
    }

    /// Stops it at once and for good.
    pub fn kill(&mut self) {
        drop(self.leash.stdin.take());
        let _ = self.leash.wait();
    }
}

/// `$0` directory, `$1` postgres, `$2` port: runs until standard input closes, stopping and starting as it is told.
const LEASHED: &str = r#"dir=$0 bin=$1 port=$2
start() {
    "$bin" -D "$dir/data" -p "$port" -k "$dir" -c listen_addresses=127.0.0.1 -c max_connections=300 \
        -c shared_buffers=64MB -c logging_collector=off >>"$dir/log" 2>&1 </dev/null &
    pid=$!
}
start
while read -r word; do
    case $word in
        stop) kill -QUIT $pid; wait $pid ;;
        start) start ;;
    esac
done
kill -QUIT $pid
wait $pid
rm -rf "$dir""#;

fn psql(port: u16, database: &str, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "provost", "-d", database])
        .args(["-v", "ON_ERROR_STOP=1", "-qAtc", sql])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The newest installed PostgreSQL, or the one that `$PROVOST_PG_BIN` names.
fn binaries() -> PathBuf {
    if let Some(dir) = std::env::var_os("PROVOST_PG_BIN") {
        return dir.into();
    }
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    match found.pop() {
        Some((version, bin)) if version >= 15 => bin,
        _ => {
            panic!("PostgreSQL 15 or newer is not installed; `tests/run` installs it, or set PROVOST_PG_BIN")
        }
    }
}

/// PostgreSQL refuses to run as root; then it runs as `postgres`, or as `nobody` where there is no such user.
fn unprivileged() -> (u32, u32) {
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    if !uid.is_root() {
        return (uid.as_raw(), gid.as_raw());
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let line = passwd.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut cells = line.split(':').skip(2);
        Some((cells.next()?.parse().ok()?, cells.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).unwrap_or((65_534, 65_534))
}
