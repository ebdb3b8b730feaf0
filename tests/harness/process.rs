//! The real programs, as their own processes.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
};

use proto::token::v1::{BootstrapRequest, token_service_client::TokenServiceClient};
use tonic::transport::Channel;

use crate::site::Caller;

/// A program of ours, built beside the tests.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    // a test lies in `deps` below the programs, a bench beside them
    let found = exe.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("`{name}` is not built; run `cargo build --workspace` (tests/run does)"))
}

/// Runs a program to its end, without anything of ours in its environment.
pub fn run(name: &str, args: &[&str]) -> Output {
    command(name).args(args).output().unwrap()
}

/// A program about to run, without anything of ours in its environment.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(binary(name));
    for (key, _) in std::env::vars().filter(|(k, _)| k.starts_with("PROVOST_")) {
        command.env_remove(key);
    }
    command.stdin(Stdio::null());
    command
}

/// A running `provostd`; killed when dropped.
pub struct Daemon {
    child: Child,
    /// Reads what it logs, so that it never waits for us.
    log: Option<JoinHandle<String>>,
    /// Where it listens.
    pub url: String,
    /// The bootstrap token that it printed at its first start.
    pub bootstrap: Option<String>,
}

impl Daemon {
    /// Starts `provostd serve` on a directory, with settings from the environment.
    pub fn start(dir: &Path, env: &[(&str, &str)]) -> Self {
        let mut serve = command("provostd");
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir).envs(env.iter().copied());
        Self::spawn(serve, |line| line.strip_prefix("provostd listens on "))
    }

    /// Starts `provostd quickstart` on a directory, to stay up.
    pub fn quickstart(dir: &Path) -> Self {
        let mut quickstart = command("provostd");
        quickstart.args(["quickstart", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir);
        Self::spawn(quickstart, |line| line.trim().strip_prefix("curl ")?.strip_suffix("/metrics"))
    }

    /// Starts `provost` with these arguments, which make it an edge.
    pub fn edge(args: &[&str]) -> Self {
        let mut edge = command("provost");
        edge.args(args);
        Self::spawn(edge, |line| line.strip_prefix("provost edge answers on ")?.split(' ').next())
    }

    /// Runs `command` until it prints the last line of its start, in which `ready` finds where it listens.
    fn spawn(mut command: Command, ready: fn(&str) -> Option<&str>) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // from here on it is killed and reaped whatever happens
        let mut daemon = Self { child, log: None, url: String::new(), bootstrap: None };
        let mut stderr = daemon.child.stderr.take().unwrap();
        daemon.log = Some(std::thread::spawn(move || {
            let mut logged = String::new();
            stderr.read_to_string(&mut logged).unwrap();
            logged
        }));
        for line in BufReader::new(daemon.child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, secret)) = line.split_once("24 hours: ") {
                daemon.bootstrap = Some(secret.to_owned());
            }
            if let Some(url) = ready(&line) {
                url.clone_into(&mut daemon.url);
                return daemon;
            }
        }
        panic!("it did not start: {}", daemon.log.take().unwrap().join().unwrap());
    }

    /// The first administrator, made with the bootstrap token of a fresh deployment.
    pub async fn admin(&self) -> Caller {
        let channel = Channel::from_shared(self.url.clone()).unwrap().connect().await.unwrap();
        let boot = Caller { channel: channel.clone(), secret: self.bootstrap.clone().unwrap() };
        let request = BootstrapRequest {
            principal_id: "root".to_owned(),
            display_name: "Root".to_owned(),
            email: String::new(),
        };
        let made =
            TokenServiceClient::new(channel.clone()).bootstrap(boot.ask(request)).await.unwrap().into_inner();
        Caller { channel, secret: made.secret }
    }

    /// Whether it has a handler of its own for SIGTERM (`SigCgt` of proc(5)): without one, the signal ends it on the spot.
    pub fn catches_term(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mask = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        mask & (1 << (rustix::process::Signal::TERM.as_raw() - 1)) != 0
    }

    /// Asks it to stop and waits; returns whether it ended well and what it logged.
    pub fn stop(mut self) -> (bool, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let well = self.child.wait().unwrap().success();
        (well, self.log.take().unwrap().join().unwrap())
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it holds, in KiB (`VmRSS` of proc(5)).
    pub fn resident_kib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Most memory that it has held, in KiB (`VmHWM` of proc(5)).
    pub fn peak_resident_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
