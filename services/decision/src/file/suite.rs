//! Questions and what the answers must be, as people write them.

use serde::Deserialize;

use super::{
    read,
    text::{FileError, Moment, Once, ReasonWord, What, Who},
};
use crate::{decide::Reason, model::Target};

/// A file of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// What it is about.
    pub name: String,
    /// Path of the facts, relative to the file; none for tests of rules that are elsewhere.
    pub fixtures: Option<String>,
    /// The tests, in order.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// What it says, as a sentence.
    pub name: String,
    /// When the questions are asked, in microseconds since 1970.
    pub now: i64,
    /// What is asked.
    pub checks: Vec<Check>,
}

/// One question, and what the answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Who asks.
    pub principal: String,
    /// What for, and what is expected.
    pub expected: Expected,
}

/// What an answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// To a question about this: this reason.
    Reason(Target, Reason),
    /// Everything that may be used: these plugins, sorted.
    Exactly(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    now: Moment,
    fixtures: Option<String>,
    tests: Vec<TestFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    name: String,
    /// Instead of the file's.
    now: Option<Moment>,
    #[serde(default)]
    principals: Vec<Who>,
    #[serde(default)]
    plugins: Once<What, ReasonWord>,
    list: Option<ListFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFile {
    principal: Who,
    exactly: Vec<String>,
}

impl Suite {
    /// Reads a file of tests.
    ///
    /// # Errors
    ///
    /// Whatever is not of the form in `policies/README.md`, unknown keys, keys that are there twice, and a test that
    /// tests nothing.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let file: File = read(text)?;
        if file.tests.is_empty() {
            return Err(FileError("has no tests; write at least one".to_owned()));
        }
        let now = file.now;
        let tests = file.tests.into_iter().map(|test| test.test(now)).collect::<Result<_, _>>()?;
        Ok(Self { name: file.name, fixtures: file.fixtures, tests })
    }
}

impl TestFile {
    fn test(self, now: Moment) -> Result<Test, FileError> {
        let Self { name, now: own, principals, plugins, list } = self;
        if principals.is_empty() != plugins.0.is_empty() {
            return Err(FileError(format!(
                "test `{name}`: `principals` and `plugins` go together; write both"
            )));
        }
        let mut checks = Vec::new();
        for who in &principals {
            for (What(target), ReasonWord(reason)) in &plugins.0 {
                if matches!(target, Target::Marketplace(_) | Target::PluginGroup(_)) {
                    let message =
                        "`plugins` asks for plugins, apps and skills; nobody uses a marketplace or a group";
                    return Err(FileError(format!("test `{name}`: {message}")));
                }
                let expected = Expected::Reason(target.clone(), *reason);
                checks.push(Check { principal: who.0.clone(), expected });
            }
        }
        if let Some(list) = list {
            let mut exactly = list.exactly;
            exactly.sort();
            checks.push(Check { principal: list.principal.0, expected: Expected::Exactly(exactly) });
        }
        if checks.is_empty() {
            let message = "tests nothing; write `principals` and `plugins`, or `list`";
            return Err(FileError(format!("test `{name}` {message}")));
        }
        Ok(Test { name, now: own.unwrap_or(now).0, checks })
    }
}
