//! Policy tests from files.

use std::{fs, path::Path};

use super::provost;
use crate::Exit;

const FACTS: &str = "tenant: acme\nusers: [ann, int]\nroles: {staff: {members: [ann]}}\nplugins: {search: {}, git: {}}\n\
    rules:\n- {id: all-search, role: '*', target: search, effect: available}\n- {id: staff-git, role: staff, target: git, effect: default}\n";

/// A directory with the facts and one file of tests.
fn write(dir: &Path, tests: &str) -> String {
    fs::write(dir.join("facts.txt"), FACTS).unwrap();
    let head = "name: basics\nnow: '2026-11-05T10:30:00Z'\nfixtures: facts.txt\ntests:\n";
    fs::write(dir.join("basics.yaml"), format!("{head}{tests}")).unwrap();
    dir.to_str().unwrap().to_owned()
}

async fn run(path: &str, flags: &[&str]) -> (Exit, String, String) {
    let line = flags.iter().fold(provost("policy test").with(path), |line, flag| line.with(flag));
    let ran = line.run().await;
    (ran.exit, ran.out, ran.err)
}

#[tokio::test]
async fn tests_pass_and_fail_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        dir.path(),
        "- {name: search is for all, principals: [ann, user:int], plugins: {search: ALLOWED}}\n\
         - {name: git is for staff, list: {principal: user:int, exactly: [search]}}\n",
    );
    let (exit, out, err) = run(&path, &[]).await;
    assert_eq!((exit, err.as_str()), (Exit::OK, ""));
    let head = format!("basics ({path}/basics.yaml)\n");
    assert_eq!(out, head + "  ok    search is for all\n  ok    git is for staff\n2 passed, 0 failed\n");
    write(dir.path(), "- {name: git is for all, principals: [int], plugins: {git: ALLOWED}}\n");
    let (exit, out, _) = run(&path, &[]).await;
    assert_eq!(exit, Exit::TESTS_FAILED);
    let failure = "  FAIL  git is for all\n        int and git: expected ALLOWED, got NO_MATCHING_RULE\n";
    assert!(out.contains(failure), "{out}");
    let (exit, out, _) = run(&path, &["-o", "json"]).await;
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &report["failed"]), (Exit::TESTS_FAILED, &serde_json::json!(1)));
    assert_eq!(report["suites"][0]["tests"][0]["passed"], false);
}

#[tokio::test]
async fn a_rule_that_no_test_reaches_is_told_and_fails_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "- {name: search, principals: [int], plugins: {search: ALLOWED}}\n");
    let (exit, out, _) = run(&path, &["--coverage"]).await;
    assert_eq!(exit, Exit::OK);
    assert!(out.contains("1 of 2 rules reached\n  no test reaches staff-git\n"), "{out}");
    assert_eq!(run(&path, &["--fail-uncovered"]).await.0, Exit::TESTS_FAILED);
    write(dir.path(), "- {name: all, list: {principal: ann, exactly: [git, search]}}\n");
    assert_eq!(run(&path, &["--fail-uncovered"]).await.0, Exit::OK);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "- {name: x, principals: [ann], plugins: {search: Allowed}}\n");
    let (exit, out, err) = run(&path, &[]).await;
    assert_eq!((exit, out.as_str()), (Exit::OTHER, ""));
    for part in ["basics.yaml`", "`Allowed` is no reason", "line 5"] {
        assert!(err.contains(part), "{err}");
    }
    write(dir.path(), "- {name: x, principals: [ann], plugins: {search: ALLOWED}}\n");
    fs::write(dir.path().join("facts.txt"), "tenant: acme\nroles: {a: {includes: [b]}}\n").unwrap();
    let (exit, _, err) = run(&path, &[]).await;
    assert_eq!(exit, Exit::OTHER);
    assert!(err.contains("facts.txt`: role `a` names role `b`, which is not there"), "{err}");
    let (exit, _, err) = run("/nonexistent", &[]).await;
    assert!(exit == Exit::OTHER && err.contains("/nonexistent"), "{err}");
    let empty = tempfile::tempdir().unwrap();
    assert!(run(empty.path().to_str().unwrap(), &[]).await.2.contains("has no `.yaml` files"));
}

#[tokio::test]
async fn the_policy_tests_of_the_repository_pass_and_reach_every_rule() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/tests");
    let (exit, out, _) = run(path, &["--fail-uncovered"]).await;
    assert_eq!(exit, Exit::OK, "{out}");
}
