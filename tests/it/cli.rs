//! `provost`, the program, against `provostd`, the program.

use std::{
    cell::RefCell,
    fmt::Write as _,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{golden, process};
use uuid::Uuid;

mod policies;
mod refusals;
mod stories;

/// The built-in marketplace, as a directory.
const MARKETPLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../services/server/quickstart/marketplace");

/// Somebody at a terminal of their own, and the server that they talk to.
struct Shell {
    daemon: process::Daemon,
    dir: TempDir,
    transcript: RefCell<String>,
}

impl Shell {
    /// A fresh deployment, its bootstrap token in the file `boot`.
    fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = process::Daemon::start(&dir.path().join("data"), &[]);
        std::fs::write(dir.path().join("boot"), daemon.bootstrap.as_ref().unwrap()).unwrap();
        Self { daemon, dir, transcript: RefCell::default() }
    }

    /// A deployment with an administrator, a partner and its client `acme`.
    fn open() -> Self {
        let shell = Self::fresh();
        shell.bootstrap();
        shell.run(0, &["partner", "create", "northwind", "--display-name", "Northwind"]);
        shell.run(0, &["tenant", "create", "acme", "--display-name", "Acme"]);
        shell
    }

    /// Makes the administrator and the context in use.
    fn bootstrap(&self) {
        let address = self.daemon.url.as_str();
        let by = ["--address", address, "--token-file", "boot"];
        self.run(
            0,
            &[&by[..], &["bootstrap", "--principal-id", "root", "--secret-file", "root.token"]].concat(),
        );
        let place = [
            "--address",
            address,
            "--token-file",
            "root.token",
            "--partner",
            "northwind",
            "--tenant",
            "acme",
        ];
        self.run(0, &[&["context", "add", "local"], &place[..]].concat());
    }

    fn command(&self) -> Command {
        let mut command = process::command("provost");
        command.current_dir(self.dir.path()).env("PROVOST_CONFIG", self.dir.path().join("contexts.toml"));
        command.env_remove("TRACEPARENT");
        command
    }

    /// Runs a command that ends with `code`; what it said goes on the transcript.
    fn run(&self, code: i32, args: &[&str]) -> Output {
        let output = self.command().args(args).output().unwrap();
        let (out, err) = (
            String::from_utf8(output.stdout.clone()).unwrap(),
            String::from_utf8(output.stderr.clone()).unwrap(),
        );
        assert_eq!(output.status.code(), Some(code), "provost {}\n{out}{err}", args.join(" "));
        let quoted = args.iter().map(|a| if a.contains(' ') { format!("'{a}'") } else { (*a).to_owned() });
        let mut transcript = self.transcript.borrow_mut();
        write!(transcript, "$ provost {}\n{out}{err}[{code}]\n\n", quoted.collect::<Vec<_>>().join(" "))
            .unwrap();
        output
    }

    /// What a command prints with `-o json`.
    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(0, &[args, &["-o", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command says on standard error.
    fn error(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(code, args);
        assert!(
            output.stdout.is_empty(),
            "an error prints no answer: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stderr).unwrap()
    }

    /// How many acts are on the record.
    fn acts(&self) -> usize {
        ["--platform", "--tenant=acme"]
            .map(|at| {
                self.json(&[
                    "audit",
                    "list",
                    "--all",
                    "--filter",
                    "NOT event_class = audit_read AND NOT event_class = decision",
                    at,
                ])
                .as_array()
                .unwrap()
                .len()
            })
            .iter()
            .sum()
    }

    /// Starts the transcript anew.
    fn forget(&self) {
        self.transcript.borrow_mut().clear();
    }

    /// The transcript is as reviewed.
    fn reads(&self, file: &str) {
        golden::matches(&format!("it/cli/{file}.golden"), &mask(&self.transcript.borrow(), self.dir.path()));
    }
}

/// What differs from run to run, by what it is.
fn mask(text: &str, dir: &Path) -> String {
    let text = text.replace(dir.to_str().unwrap(), "<dir>");
    let breaks = |c: char| c.is_whitespace() || "\"'`,".contains(c);
    let pieces = text.split_inclusive(breaks).flat_map(|piece| {
        let word = piece.trim_end_matches(breaks);
        [masked(word), piece.get(word.len()..).unwrap().to_owned()]
    });
    pieces.collect()
}

fn masked(word: &str) -> String {
    let (parent, last) = word.rsplit_once('/').map_or(("", word), |(p, l)| (p, l));
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let known = if word.starts_with("http://127.0.0.1:") {
        return "<address>".to_owned();
    } else if word.len() > 100 {
        return "<page token>".to_owned();
    } else if word.len() == 87 && !word.contains('/') {
        return "<revision token>".to_owned();
    } else if word.len() >= 20
        && word.starts_with("20")
        && word.get(10..11) == Some("T")
        && word.ends_with('Z')
    {
        return "<time>".to_owned();
    } else if last.len() == 36 && Uuid::parse_str(last).is_ok() {
        "<uid>"
    } else if last.strip_prefix("e-").is_some_and(|id| id.len() == 12 && hex(id)) {
        "e-<id>"
    } else if last.strip_prefix("b-").is_some_and(|id| id.len() == 12 && hex(id)) {
        "b-<id>"
    } else {
        return word.to_owned();
    };
    if parent.is_empty() { known.to_owned() } else { format!("{parent}/{known}") }
}
