//! The policy tests of the repository hold here and by casbin, and bad files are refused in words.

use std::path::{Path, PathBuf};

use super::oracle::{self, Oracle};
use crate::{
    Reason,
    file::{Coverage, Expected, Suite, fixtures, target},
    model::*,
    snapshot::compile,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/tests")
}

/// Every file of tests with its facts.
fn suites() -> Vec<(PathBuf, Suite, Facts)> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    let mut suites: Vec<_> = files
        .map(|path| {
            let suite = Suite::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let facts = std::fs::read_to_string(folder().join(suite.fixtures.as_ref().unwrap())).unwrap();
            (path, suite, fixtures(&facts).unwrap())
        })
        .collect();
    suites.sort_by(|a, b| a.0.cmp(&b.0));
    suites
}

#[test]
fn the_policy_tests_pass_and_reach_every_rule() {
    let suites = suites();
    assert!(suites.len() >= 4);
    let facts = &suites[0].2;
    let mut coverage = Coverage::of(facts);
    for (path, suite, of) in &suites {
        assert_eq!(of, facts, "{}: one set of facts, or the coverage says little", path.display());
        for outcome in suite.run(&compile(facts).unwrap(), &mut coverage) {
            assert_eq!(outcome.failures, Vec::<String>::new(), "{}: {}", path.display(), outcome.test);
        }
    }
    assert_eq!(coverage.unreached(), Vec::<&str>::new());
    let reasons = suites.iter().flat_map(|(_, suite, _)| &suite.tests).flat_map(|test| &test.checks);
    let reasons: Vec<_> = reasons
        .filter_map(|check| match &check.expected {
            Expected::Reason(_, reason) => Some(*reason),
            Expected::Exactly(_) => None,
        })
        .collect();
    for reason in Reason::ALL {
        let elsewhere = matches!(reason, Reason::PolicyUnavailable | Reason::TenantSuspended);
        assert!(elsewhere || reasons.contains(&reason), "no policy test expects {reason:?}");
    }
}

/// Whether casbin says yes, by the rules alone, to a principal that is there and active.
fn casbin(facts: &Facts, oracle: &Oracle<'_>, who: &str, what: Target<&str>, now: i64) -> bool {
    let Some(principal) = facts.principals.iter().find(|p| p.id == who) else { return false };
    let own = oracle.ask(who, what, now).0;
    match &principal.kind {
        PrincipalKind::Agent { owner } => {
            let user = facts.principals.iter().any(|p| p.id == *owner && p.kind == PrincipalKind::User);
            own && user && oracle.ask(owner, what, now).0
        }
        PrincipalKind::User | PrincipalKind::Service => own,
    }
}

#[test]
fn casbin_answers_the_policy_tests_alike() {
    let model = oracle::model();
    let mut asked = 0;
    for (path, suite, facts) in suites() {
        let oracle = Oracle::new(&model, &facts);
        for test in &suite.tests {
            for check in &test.checks {
                let Expected::Reason(what, reason) = &check.expected else { continue };
                // what the model does not know is before or after the rules
                let rules = !matches!(
                    reason,
                    Reason::UnknownPlugin
                        | Reason::UnknownPrincipal
                        | Reason::PrincipalSuspended
                        | Reason::NotReady
                );
                if rules {
                    let yes = casbin(&facts, &oracle, &check.principal, what.as_ref(), test.now);
                    let place = format!("{}: {}: {} {what:?}", path.display(), test.name, check.principal);
                    assert_eq!(yes, *reason == Reason::Allowed, "{place}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 50, "{asked} questions");
}

#[test]
fn a_test_that_fails_says_who_what_and_by_which_rule() {
    let facts = fixtures(&std::fs::read_to_string(folder().join("fixtures/acme.yaml")).unwrap()).unwrap();
    let suite = Suite::parse(
        "{name: x, now: '2026-11-05T10:30:00Z', fixtures: f, tests: [{name: t, principals: [user:int], plugins: \
         {codex/network: ALLOWED, codex/calendar: ALLOWED}, list: {principal: int, exactly: [codex/network, codex/git]}}]}",
    )
    .unwrap();
    let outcomes = suite.run(&compile(&facts).unwrap(), &mut Coverage::of(&facts));
    assert_eq!(
        outcomes[0].failures,
        [
            "int and codex/network: expected ALLOWED, got EXPLICIT_DENY by no-network-for-interns",
            "int may use codex/calendar too, codex/drafts too, codex/fax too, codex/search too, not codex/network (EXPLICIT_DENY)",
        ]
    );
}

#[test]
fn a_rule_that_no_test_reaches_is_told() {
    let facts = fixtures("{tenant: t, users: [a, b], roles: {r: {members: [b]}}, plugins: {p: {}, q: {}}, rules: [{id: all, role: '*', target: p, effect: available}, {id: seldom, role: r, target: p, effect: denied}, {id: other, role: '*', target: q, effect: denied}]}").unwrap();
    let mut coverage = Coverage::of(&facts);
    let one = "{name: x, now: '2026-11-05T10:30:00Z', fixtures: f, tests: [{name: t, principals: [a], plugins: {p: ALLOWED}}]}";
    Suite::parse(one).unwrap().run(&compile(&facts).unwrap(), &mut coverage);
    assert_eq!(coverage.unreached(), ["other", "seldom"]);
}

#[test]
fn bad_files_are_refused_and_say_where() {
    let suite = |text: &str| Suite::parse(text).unwrap_err().to_string();
    let head = "name: x\nnow: '2026-11-05T10:30:00Z'\nfixtures: f.yaml\ntests:\n";
    for (text, complaint) in [
        (String::new(), "missing field"),
        ("name: [".to_owned(), "line 1"),
        (format!("{head}  []"), "no tests"),
        (format!("{head}- {{name: t}}"), "test `t` tests nothing"),
        (format!("{head}- {{name: t, principals: [a]}}"), "`principals` and `plugins` go together"),
        (format!("{head}- name: t\n  plugin: {{a: ALLOWED}}"), "unknown field `plugin`"),
        (format!("{head}- name: t\n  plugin: {{a: ALLOWED}}"), "line 6"),
        (format!("{head}- name: t\n  principals: [a]\n  plugins: {{a: Deny}}"), "`Deny` is no reason"),
        (format!("{head}- name: t\n  principals: [a]\n  plugins: {{a: Deny}}"), "line 7"),
        (
            format!("{head}- name: t\n  principals: [a]\n  plugins: {{a: ALLOWED, a: WITHDRAWN}}"),
            "is there twice",
        ),
        (
            format!("{head}- name: t\n  principals: [a]\n  plugins: {{'marketplace:m': ALLOWED}}"),
            "nobody uses a marketplace",
        ),
        (format!("{head}- name: t\n  principals: [a]\n  plugins: {{'': ALLOWED}}"), "is no target"),
        (head.replace("2026-11-05T10:30:00Z", "yesterday") + "  []", "`yesterday` is no time"),
    ] {
        let said = suite(&text);
        assert!(said.contains(complaint), "{text}\n{said}");
    }
    let facts = |text: &str| fixtures(text).unwrap_err().to_string();
    for (text, complaint) in [
        ("tenant: t\nuser: [a]", "unknown field `user`"),
        ("tenant: t\nusers: [a]\nsuspended: [b]", "no principal `b`"),
        ("tenant: t\nplugins:\n  p: {stage: stable}", "unknown variant `stable`"),
        ("tenant: t\nplugins:\n  p: {}\n  p: {}", "is there twice"),
        ("tenant: t\nrules:\n- {id: r, role: '*', target: p, effect: Deny}", "unknown variant `Deny`"),
        ("tenant: t\nrules:\n- {id: r, role: '*', target: p}", "missing field `effect`"),
    ] {
        let said = facts(text);
        assert!(said.contains(complaint), "{text}\n{said}");
    }
    assert!(Suite::parse(&" ".repeat((16 << 20) + 1)).unwrap_err().to_string().contains("16 MiB"));
    let deep = "[".repeat(3_000);
    assert!(Suite::parse(&deep).is_err() && fixtures(&deep).is_err());
}

#[test]
fn targets_have_several_spellings_and_half_of_one_is_none() {
    let plugin = |id: &str| Some(Target::Plugin(id.to_owned()));
    for text in ["codex/kit", "plugin:codex/kit", "marketplaces/codex/plugins/kit"] {
        assert_eq!(target(text), plugin("codex/kit"), "{text}");
    }
    let app = Target::App { plugin: "codex/kit".to_owned(), app: "Fact Set".to_owned() };
    assert_eq!(target("marketplaces/codex/plugins/kit/apps/Fact Set"), Some(app));
    assert_eq!(target("marketplaces/codex"), target("marketplace:codex"));
    assert_eq!(target("group:g"), Some(Target::PluginGroup("g".to_owned())));
    for text in [
        "",
        "group:",
        "marketplace:",
        "plugin:",
        "marketplaces/",
        "marketplaces//plugins/a",
        "kit/apps/",
        "/apps/a",
    ] {
        assert_eq!(target(text), None, "{text}");
    }
}
