//! The real programs, as their own processes.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// A program of ours, built beside the tests.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "`{}` is not built; run `cargo build --workspace` (tests/run does)", path.display());
    path
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

/// A running `provostd serve`; killed when dropped.
pub struct Daemon {
    child: Child,
    /// Where it listens.
    pub url: String,
    /// The bootstrap token that it printed at its first start.
    pub bootstrap: Option<String>,
}

impl Daemon {
    /// Starts it on a directory, with settings from the environment.
    pub fn start(dir: &Path, env: &[(&str, &str)]) -> Self {
        let mut child = command("provostd")
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut bootstrap = None;
        for line in &mut lines {
            let line = line.unwrap();
            if let Some((_, secret)) = line.split_once("24 hours: ") {
                bootstrap = Some(secret.to_owned());
            }
            if let Some(url) = line.strip_prefix("provostd listens on ") {
                return Self { child, url: url.to_owned(), bootstrap };
            }
        }
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("provostd did not start: {said}");
    }

    /// Asks it to stop and waits; returns whether it ended well and what it logged.
    pub fn stop(mut self) -> (bool, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut logged = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut logged).unwrap();
        (self.child.wait().unwrap().success(), logged)
    }

    /// Memory that it holds, in KiB (`VmRSS` of proc(5)).
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
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
