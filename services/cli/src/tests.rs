//! Whole command lines, run in this process against a server that answers as it is told.

mod audit;
mod calls;
pub mod fake;
mod import;
mod local;
mod log;
mod mirror;
mod policy;
mod tree;

use std::path::Path;

use crate::{Console, Exit, run};

/// What a command line left behind.
#[derive(Debug)]
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

/// A command line to run: nobody at the terminal, nothing on standard input, an environment of its own.
struct Line<'a> {
    words: Vec<String>,
    env: Vec<(&'a str, String)>,
    input: &'a str,
    interactive: bool,
}

/// `provost` with the words of `text`, which are parted by single spaces.
fn provost<'a>(text: &str) -> Line<'a> {
    let words = ["provost"].into_iter().chain(text.split(' ')).map(str::to_owned).collect();
    let env = vec![("PROVOST_CONFIG", "/nonexistent/config.toml".to_owned())];
    Line { words, env, input: "", interactive: false }
}

impl<'a> Line<'a> {
    fn env(mut self, key: &'a str, value: &str) -> Self {
        self.env.push((key, value.to_owned()));
        self
    }

    /// One more word.
    fn with(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    fn config(self, path: &Path) -> Self {
        self.env("PROVOST_CONFIG", path.to_str().unwrap())
    }

    fn typed(mut self, input: &'a str) -> Self {
        self.input = input;
        self.interactive = true;
        self
    }

    fn piped(mut self, input: &'a str) -> Self {
        self.input = input;
        self
    }

    async fn run(self) -> Ran {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let env = |key: &str| self.env.iter().rev().find(|(k, _)| *k == key).map(|(_, v)| v.clone());
        let mut input = self.input.as_bytes();
        let interactive = self.interactive;
        let console = Console { out: &mut out, err: &mut err, input: &mut input, interactive, env: &env };
        let exit = run(self.words, console).await;
        Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }
}
