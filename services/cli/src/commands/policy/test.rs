//! Tests of rules, run on the facts in files or on a tenant's rules as they are.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use decision::{
    CompileError, Facts, Snapshot, compile,
    file::{Coverage, Outcome, Suite, fixtures},
};
use serde::Serialize;

use super::live::{Live, live};
use crate::{
    app::App,
    error::{Error, Exit, Result},
    output::{Format, clean, encode},
};

/// Which tests.
#[derive(Args, Debug)]
#[command(after_help = "\
With --tenant, what the files expect is asked of that tenant's rules as they are, at the moments that the files say; the
`fixtures` that they name are not read.

Exit code: 0 when all pass, 12 when one fails or, with --fail-uncovered, a rule is not reached.")]
pub struct Run {
    /// Files of tests, or directories of them
    #[arg(value_name = "PATH", default_value = "policies/tests")]
    paths: Vec<PathBuf>,
    /// Tell which rules no test reaches
    #[arg(long)]
    coverage: bool,
    /// Fail when there is such a rule
    #[arg(long)]
    fail_uncovered: bool,
}

/// All that was found.
#[derive(Serialize)]
struct Report {
    suites: Vec<SuiteReport>,
    passed: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Vec<CoverageReport>>,
}

#[derive(Serialize)]
struct SuiteReport {
    name: String,
    path: String,
    tests: Vec<TestReport>,
}

#[derive(Serialize)]
struct TestReport {
    name: String,
    passed: bool,
    failures: Vec<String>,
}

/// The rules of one fixtures file, or of a tenant.
#[derive(Serialize)]
struct CoverageReport {
    fixtures: String,
    rules: usize,
    /// No question reached them.
    unreached: Vec<String>,
    /// Questions reached them, and no answer rested on them.
    undecided: Vec<String>,
}

/// Facts of one file, and what tests reach of them.
struct Ground {
    path: String,
    snapshot: Snapshot,
    coverage: Coverage,
}

/// Runs them.
pub async fn run(args: &Run, app: &mut App<'_, '_>) -> Result<Exit> {
    let mut grounds = BTreeMap::new();
    let (mut suites, mut failed, mut passed) = (Vec::new(), 0, 0);
    let files = files(&args.paths)?.into_iter().map(parsed).collect::<Result<Vec<_>>>()?;
    let mut tenants = None;
    if app.global.tenant.is_some() {
        let Live { origin, facts } = live(app).await?;
        tenants = Some(Ground::new(origin, &facts).map_err(|error| Error::Local(error.to_string()))?);
    }
    for (path, suite) in files {
        let ground = match &mut tenants {
            Some(live) => live,
            None => beside(&path, &suite, &mut grounds)?,
        };
        let outcomes = suite.run(&ground.snapshot, &mut ground.coverage);
        let tests: Vec<_> = outcomes.into_iter().map(TestReport::from).collect();
        passed += tests.iter().filter(|test| test.passed).count();
        failed += tests.iter().filter(|test| !test.passed).count();
        suites.push(SuiteReport { name: suite.name, path: path.display().to_string(), tests });
    }
    let coverage: Vec<_> = tenants.iter().chain(grounds.values()).map(CoverageReport::from).collect();
    let uncovered = coverage.iter().any(|report| !report.unreached.is_empty());
    let coverage = (args.coverage || args.fail_uncovered).then_some(coverage);
    let report = Report { suites, passed, failed, coverage };
    let text = match app.format() {
        Format::Table => report.text(),
        format => encode(&report, format)?,
    };
    app.console.print(&text)?;
    let fails = failed > 0 || (args.fail_uncovered && uncovered);
    Ok(if fails { Exit::TESTS_FAILED } else { Exit::OK })
}

/// The files that `paths` name: a directory stands for the `.yaml` and `.yml` files right in it.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable =
            |e: std::io::Error| Error::Local(format!("`{}` cannot be read: {e}", path.display()));
        if !fs::metadata(path).map_err(unreadable)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?.path();
            let yaml = entry.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
            if yaml && entry.is_file() {
                inside.push(entry);
            }
        }
        if inside.is_empty() {
            return Err(Error::Local(format!(
                "`{}` has no `.yaml` files in it; name the files",
                path.display()
            )));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn parsed(path: PathBuf) -> Result<(PathBuf, Suite)> {
    let suite = Suite::parse(&read(&path)?).map_err(|error| wrong(&path, &error))?;
    Ok((path, suite))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Error::Local(format!("`{}` cannot be read: {e}", path.display())))
}

fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|e| Error::Local(format!("`{}` cannot be read: {e}", path.display())))
}

fn wrong(path: &Path, error: &impl std::fmt::Display) -> Error {
    Error::Local(format!("`{}`: {error}", path.display()))
}

/// What is in the file of facts that a file of tests names; each is read once.
fn beside<'g>(
    path: &Path,
    suite: &Suite,
    grounds: &'g mut BTreeMap<PathBuf, Ground>,
) -> Result<&'g mut Ground> {
    let missing = "names no `fixtures`; name a file of facts, or ask a tenant's rules with --tenant";
    let fixtures = suite.fixtures.as_ref().ok_or_else(|| wrong(path, &missing))?;
    let beside = path.parent().unwrap_or(Path::new("")).join(fixtures);
    Ok(match grounds.entry(canonical(&beside)?) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(fresh) => fresh.insert(ground(&beside)?),
    })
}

fn ground(path: &Path) -> Result<Ground> {
    let facts: Facts = fixtures(&read(path)?).map_err(|error| wrong(path, &error))?;
    Ground::new(path.display().to_string(), &facts).map_err(|error| wrong(path, &error))
}

impl Ground {
    fn new(path: String, facts: &Facts) -> std::result::Result<Self, CompileError> {
        Ok(Self { path, snapshot: compile(facts)?, coverage: Coverage::of(facts) })
    }
}

impl From<Outcome> for TestReport {
    fn from(outcome: Outcome) -> Self {
        Self { name: outcome.test, passed: outcome.failures.is_empty(), failures: outcome.failures }
    }
}

impl From<&Ground> for CoverageReport {
    fn from(ground: &Ground) -> Self {
        let owned = |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect();
        let undecided =
            ground.coverage.rules().filter(|(_, c)| c.spoke > 0 && c.decided == 0).map(|(id, _)| id);
        Self {
            fixtures: ground.path.clone(),
            rules: ground.coverage.rules().count(),
            unreached: owned(ground.coverage.unreached()),
            undecided: owned(undecided.collect()),
        }
    }
}

impl Report {
    /// For people: what failed, then the sums.
    fn text(&self) -> String {
        let mut text = String::new();
        for suite in &self.suites {
            text.push_str(&format!("{} ({})\n", clean(&suite.name), clean(&suite.path)));
            for test in &suite.tests {
                let word = if test.passed { "ok  " } else { "FAIL" };
                text.push_str(&format!("  {word}  {}\n", clean(&test.name)));
                for failure in &test.failures {
                    text.push_str(&format!("        {}\n", clean(failure)));
                }
            }
        }
        text.push_str(&format!("{} passed, {} failed\n", self.passed, self.failed));
        for report in self.coverage.iter().flatten() {
            let reached = report.rules - report.unreached.len();
            text.push_str(&format!(
                "\n{}: {reached} of {} rules reached\n",
                clean(&report.fixtures),
                report.rules
            ));
            for rule in &report.unreached {
                text.push_str(&format!("  no test reaches {}\n", clean(rule)));
            }
            for rule in &report.undecided {
                text.push_str(&format!("  no answer rests on {}\n", clean(rule)));
            }
        }
        text
    }
}
