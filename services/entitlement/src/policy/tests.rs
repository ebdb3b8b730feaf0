//! Casbin's traps at our wrapper.

use super::*;

const NOW: Time = Time::from_micros(1_795_000_000_000_000);
const CODEX: Thing<'static> = Thing::Marketplace("codex");
const FACTSET: Thing<'static> = Thing::Plugin("codex", "factset");
const LSEG: Thing<'static> = Thing::Plugin("codex", "lseg");

fn grant(rule: &'static str, eft: Eft) -> Grant<'static> {
    Grant {
        rule,
        role: Some("banker"),
        tenant: "acme",
        target: FACTSET,
        max_stage: (eft == Eft::Allow).then_some("live"),
        seat_pool: None,
        not_before: None,
        not_after: None,
        eft,
    }
}

fn request() -> Request<'static> {
    Request { principal: "maria", tenant: "acme", wanted: FACTSET, stage: "live", seats: &[], now: NOW }
}

fn rows(grants: &[Grant<'_>]) -> Vec<Row> {
    let mut rows: Vec<_> = grants.iter().map(Row::grant).collect();
    rows.push(Row::holding("maria", "banker", "acme"));
    rows.push(Row::listing(FACTSET, CODEX));
    rows
}

async fn ask(grants: &[Grant<'_>]) -> Answer {
    Policy::compile(&rows(grants)).await.unwrap().ask(&request()).unwrap()
}

fn answer(allowed: bool, rules: &[&str]) -> Answer {
    Answer { allowed, rules: rules.iter().map(|r| (*r).to_owned()).collect() }
}

/// A well-formed `p` row with one column replaced.
fn row_with(column: usize, text: &str) -> Row {
    let mut row = Row::grant(&grant("a", Eft::Allow));
    text.clone_into(&mut row.cells[column]);
    row
}

#[tokio::test]
async fn an_answer_names_every_rule_that_made_it() {
    let allow = [grant("a", Eft::Allow), Grant { role: None, ..grant("b", Eft::Allow) }];
    assert_eq!(ask(&allow).await, answer(true, &["a", "b"]));
    let deny = [grant("x", Eft::Deny), grant("a", Eft::Allow), grant("y", Eft::Deny)];
    assert_eq!(ask(&deny).await, answer(false, &["x", "y"]));
}

#[tokio::test]
async fn a_deny_wins_wherever_its_row_stands() {
    for order in [[Eft::Allow, Eft::Deny], [Eft::Deny, Eft::Allow]] {
        let [first, second] = order;
        assert!(!ask(&[grant("a", first), grant("b", second)]).await.allowed, "{order:?}");
    }
}

#[tokio::test]
async fn noting_what_matched_never_changes_casbins_answer() {
    let kinds =
        [grant("r", Eft::Allow), grant("r", Eft::Deny), Grant { target: LSEG, ..grant("r", Eft::Deny) }];
    for case in 0..81_usize {
        let names: Vec<_> = (0..4).map(|i| format!("r{i}")).collect();
        let pick = |i: u32| kinds[case / 3_usize.pow(i) % 3].clone();
        let grants: Vec<_> = (0..4).zip(&names).map(|(i, rule)| Grant { rule, ..pick(i) }).collect();
        let mut policy = Policy::compile(&rows(&grants)).await.unwrap();
        let noted = policy.ask(&request()).unwrap().allowed;
        policy.enforcer.set_effector(Box::new(DefaultEffector));
        assert_eq!(policy.ask(&request()).unwrap().allowed, noted, "{grants:?}");
    }
}

#[tokio::test]
async fn a_policy_answers_each_question_anew() {
    let mut policy = Policy::compile(&rows(&[grant("a", Eft::Allow)])).await.unwrap();
    for _ in 0..2 {
        assert_eq!(policy.ask(&request()).unwrap(), answer(true, &["a"]));
        assert_eq!(policy.ask(&Request { wanted: LSEG, ..request() }).unwrap(), answer(false, &[]));
        assert_eq!(policy.ask(&Request { principal: "ann", ..request() }).unwrap(), answer(false, &[]));
    }
}

#[tokio::test]
async fn no_rows_allow_nothing_and_an_empty_field_is_refused() {
    let mut policy = Policy::compile(&[]).await.unwrap();
    assert_eq!(policy.ask(&request()).unwrap(), answer(false, &[]));
    let r = request();
    let empty = [
        Request { principal: "", ..r },
        Request { tenant: "", ..r },
        Request { wanted: Thing::Plugin("", "factset"), ..r },
        Request { wanted: Thing::Plugin("codex", ""), ..r },
        Request { wanted: Thing::App("codex", "factset", ""), ..r },
        Request { wanted: Thing::Skill("codex", "factset", ""), ..r },
        Request { seats: &["standard", ""], ..r },
        Request { stage: "", ..r },
    ];
    for r in empty {
        assert!(policy.ask(&r).is_err(), "{r:?}");
    }
}

#[tokio::test]
async fn the_sentinel_is_the_row_that_keeps_casbin_from_asking_about_nothing() {
    // casbin without any row evaluates the matcher with every column of `p` empty
    let text = "[request_definition]\nr = sub\n[policy_definition]\np = sub, eft\n[policy_effect]\n\
        e = some(where (p.eft == allow)) && !some(where (p.eft == deny))\n[matchers]\nm = r.sub == p.sub\n";
    let bare = Enforcer::new(DefaultModel::from_str(text).await.unwrap(), ()).await.unwrap();
    assert!(bare.enforce(("",)).unwrap(), "casbin has changed: the sentinel may no longer be needed");
    let policy = Policy::compile(&[]).await.unwrap();
    assert_eq!(policy.rules, [SENTINEL]);
}

#[tokio::test]
async fn an_effect_that_is_not_exactly_allow_or_deny_is_refused_not_ignored() {
    for eft in ["Deny", "DENY", "denied", "deny ", " allow", "allow,deny", ""] {
        assert!(Policy::compile(&[row_with(9, eft)]).await.is_err(), "{eft}");
    }
}

#[tokio::test]
async fn a_malformed_column_is_refused() {
    let bad = [
        (0, ""),
        (1, "banker"),
        (1, "principal:maria"),
        (2, "acme"),
        (2, "*"),
        (3, "factset"),
        (3, "*"),
        (5, "beta"),
        (5, "Live"),
        (6, "seat"),
        (6, "held"),
        (6, "seat:"),
        (6, "seat:a seat:b"),
        (7, "2026-11-05T10:30:00Z"),
        (8, "9999-12-31"),
    ];
    for (column, text) in bad {
        assert!(Policy::compile(&[row_with(column, text)]).await.is_err(), "{column}: {text}");
    }
    let mut short = Row::grant(&grant("a", Eft::Allow));
    short.cells.pop();
    assert!(Policy::compile(&[short]).await.is_err());
}

#[tokio::test]
async fn a_row_of_an_undeclared_type_is_refused_not_dropped() {
    let cells = Row::grant(&grant("a", Eft::Deny)).cells;
    // casbin drops it without a word
    let model = DefaultModel::from_str(MODEL).await.unwrap();
    let mut enforcer = Enforcer::new(model, ()).await.unwrap();
    assert!(enforcer.get_mut_model().add_policies("p", "p2", vec![cells.clone()]));
    assert!(enforcer.get_all_policy().is_empty());
    assert!(Policy::compile(&[Row { kind: "p2", cells: cells.clone() }]).await.is_err());
    assert!(Policy::compile(&[Row { kind: "g3", cells }]).await.is_err());
}

#[tokio::test]
async fn as_many_rows_are_loaded_as_were_given() {
    let grants = ["a", "b", "c"].map(|rule| grant(rule, Eft::Allow));
    assert_eq!(Policy::compile(&rows(&grants)).await.unwrap().rules, [SENTINEL, "a", "b", "c"]);
    // casbin keeps rows in a set
    let twice = [grant("a", Eft::Allow), grant("a", Eft::Allow)];
    assert!(Policy::compile(&rows(&twice)).await.is_err());
}

#[tokio::test]
async fn a_role_counts_in_its_own_tenant_only() {
    let rows = [
        Row::grant(&grant("a", Eft::Allow)),
        Row::holding("maria", "banker", "other"),
        Row::listing(FACTSET, CODEX),
    ];
    let mut policy = Policy::compile(&rows).await.unwrap();
    assert!(!policy.ask(&request()).unwrap().allowed);
    assert!(!policy.ask(&Request { tenant: "other", ..request() }).unwrap().allowed);
}

#[tokio::test]
async fn names_of_different_kinds_never_meet_in_the_role_graph() {
    // `g` and `g2` share a graph: a role, a marketplace and a tenant of one and the same id
    let same = Grant { role: Some("codex"), target: CODEX, ..grant("a", Eft::Allow) };
    let listed = [Row::grant(&same), Row::listing(FACTSET, CODEX)];
    let mut policy = Policy::compile(&listed).await.unwrap();
    assert!(!policy.ask(&Request { principal: "codex", ..request() }).unwrap().allowed);
    let held = [Row::grant(&same), Row::holding("maria", "codex", "acme")];
    let mut policy = Policy::compile(&held).await.unwrap();
    assert!(!policy.ask(&request()).unwrap().allowed);
}

#[tokio::test]
async fn groups_plugins_and_parts_of_one_id_are_different_things() {
    let things = [
        Thing::Marketplace("x"),
        Thing::Group("x"),
        Thing::Plugin("codex", "x"),
        Thing::App("codex", "factset", "x"),
        Thing::Skill("codex", "factset", "x"),
    ];
    for target in things {
        let mut policy = Policy::compile(&rows(&[Grant { target, ..grant("a", Eft::Allow) }])).await.unwrap();
        for wanted in things {
            let answer = policy.ask(&Request { wanted, ..request() }).unwrap();
            assert_eq!(answer.allowed, wanted == target, "{wanted:?} by a rule about {target:?}");
        }
    }
}

#[tokio::test]
async fn a_link_that_is_not_ours_is_refused_whatever_it_would_mean() {
    // of roles in roles, casbin's limit on depth depends on the shape of the graph: no row has any
    let link = |kind, cells: [&str; 3]| Row { kind, cells: cells.map(str::to_owned).to_vec() };
    for row in [
        link("g", ["role:banker", "role:clerk", "tenant:acme"]),
        link("g", ["principal:maria", "role:banker", "*"]),
        link("g", ["principal:maria", "seat:a", "tenant:acme"]),
        link("g2", ["marketplace:a", "marketplace:b", "catalog"]),
        link("g2", ["plugin:a/b", "plugin:a/c", "catalog"]),
        link("g2", ["app:a/b/c", "marketplace:a", "catalog"]),
        link("g2", ["app:a/b/c", "pgroup:a", "catalog"]),
        link("g2", ["pgroup:a", "pgroup:b", "catalog"]),
        link("g2", ["plugin:a/b", "pgroup:a", "tenant:acme"]),
        link("g2", ["plugin:a/b", "role:a", "catalog"]),
    ] {
        assert!(Policy::compile(std::slice::from_ref(&row)).await.is_err(), "{row:?}");
    }
}

#[tokio::test]
async fn a_part_is_two_links_from_its_group_and_marketplace_beside_many_others() {
    let search = Thing::App("codex", "factset", "search");
    for target in [FACTSET, CODEX, Thing::Group("network")] {
        let mut rows = vec![
            Row::grant(&Grant { target, ..grant("a", Eft::Allow) }),
            Row::holding("maria", "banker", "acme"),
            Row::listing(search, FACTSET),
            Row::listing(FACTSET, CODEX),
        ];
        let groups: Vec<_> = (0..40).map(|n| format!("g{n}")).chain(["network".to_owned()]).collect();
        rows.extend(groups.iter().map(|group| Row::listing(FACTSET, Thing::Group(group))));
        let mut policy = Policy::compile(&rows).await.unwrap();
        assert!(policy.ask(&Request { wanted: search, ..request() }).unwrap().allowed, "{target:?}");
        assert!(!policy.ask(&Request { wanted: LSEG, ..request() }).unwrap().allowed, "{target:?}");
    }
}

#[tokio::test]
async fn text_that_casbin_knows_as_code_is_text() {
    for code in
        ["eval(true)", "true", "r.sub", "*", "/.*/", "keyMatch(1)", "a, b", "\"quoted\"", "(", "[a", "{"]
    {
        let skill = Thing::Skill("codex", "factset", code);
        let rows = rows(&[Grant { target: skill, ..grant(code, Eft::Allow) }]);
        let mut policy = Policy::compile(&rows).await.unwrap();
        assert!(!policy.ask(&request()).unwrap().allowed, "{code}");
        assert_eq!(policy.ask(&Request { wanted: skill, ..request() }).unwrap(), answer(true, &[code]));
    }
    assert!(Policy::compile(&[row_with(1, "eval(true)")]).await.is_err());
    assert!(Policy::compile(&[row_with(3, "eval(true)")]).await.is_err());
}

#[tokio::test]
async fn what_was_denied_by_rows_that_are_gone_or_granted_by_them_is_gone_with_the_policy() {
    // casbin keeps the links of roles when a policy is cleared, so a policy is never changed but built anew
    let held = rows(&[grant("a", Eft::Allow)]);
    let mut enforcer = Enforcer::new(DefaultModel::from_str(MODEL).await.unwrap(), ()).await.unwrap();
    for row in &held {
        let section = if row.kind == "p" { "p" } else { "g" };
        enforcer.get_mut_model().add_policy(section, row.kind, row.cells.clone());
    }
    enforcer.build_role_links().unwrap();
    enforcer.clear_policy().await.unwrap();
    let link =
        enforcer.get_role_manager().read().has_link("principal:maria", "role:banker", Some("tenant:acme"));
    assert!(link, "casbin has changed: a cleared policy has no links any more");
    let mut anew = Policy::compile(&[Row::grant(&grant("a", Eft::Allow))]).await.unwrap();
    assert!(!anew.ask(&request()).unwrap().allowed);
}

#[test]
fn the_model_has_one_policy_and_one_matcher_and_calls_functions_of_ours_alone() {
    let lines: Vec<_> = MODEL.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).collect();
    let keys: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(keys, ["r", "p", "g", "g2", "e", "m"]);
    let matcher = lines.last().unwrap();
    let calls: std::collections::BTreeSet<_> = matcher
        .match_indices('(')
        .filter_map(|(at, _)| matcher[..at].rsplit(|c: char| !c.is_alphanumeric()).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), ["g", "g2", "seatOk", "stageOk"]);
}

#[test]
fn a_seat_is_held_or_not_and_an_unknown_word_is_none() {
    let ok = |held: &str, needed: &str| seat_ok(held.into(), needed.into()).as_bool().unwrap();
    assert!(ok("none", "any") && ok("seat:a", "any"));
    assert!(ok("seat:a", "seat:a") && ok("seat:b seat:a", "seat:a"));
    for (held, needed) in [
        ("none", "seat:none"),
        ("none", "none"),
        ("", ""),
        ("seat:ab", "seat:a"),
        ("a", "a"),
        ("*", "seat:a"),
    ] {
        assert!(!ok(held, needed), "{held} {needed}");
    }
}

#[tokio::test]
async fn a_time_that_does_not_compare_as_text_is_refused() {
    let mut policy = Policy::compile(&rows(&[grant("a", Eft::Allow)])).await.unwrap();
    assert!(policy.ask(&Request { now: Time::from_micros(i64::MAX), ..request() }).is_err());
    let never = Grant { not_after: Some(Time::from_micros(i64::MAX)), ..grant("a", Eft::Allow) };
    assert!(Policy::compile(&[Row::grant(&never)]).await.is_err());
}

#[test]
fn a_ceiling_admits_what_is_as_mature_and_never_what_is_withdrawn_or_unknown() {
    let admits = |ceiling| {
        ["alpha", "preview", "live", "deprecated", "withdrawn", "beta", ""].map(|s| reaches(s, ceiling))
    };
    assert_eq!(admits("live"), [false, false, true, true, false, false, false]);
    assert_eq!(admits("preview"), [false, true, true, true, false, false, false]);
    assert_eq!(admits("alpha"), [true, true, true, true, false, false, false]);
    assert_eq!(admits("beta"), [false; 7]);
    assert_eq!(admits("*"), [true; 7]);
}
