//! Casbin's traps at our wrapper.

use super::*;

const NOW: Time = Time::from_micros(1_795_000_000_000_000);

fn grant(rule: &'static str, eft: Eft) -> Grant<'static> {
    Grant {
        rule,
        role: Some("banker"),
        tenant: "acme",
        marketplace: "codex",
        plugin: Some("factset"),
        max_stage: (eft == Eft::Allow).then_some("live"),
        needs_seat: false,
        not_before: None,
        not_after: None,
        eft,
    }
}

fn request() -> Request<'static> {
    Request {
        principal: "maria",
        tenant: "acme",
        marketplace: "codex",
        plugin: "factset",
        stage: "live",
        seat: false,
        now: NOW,
    }
}

fn rows(grants: &[Grant<'_>]) -> Vec<Row> {
    let mut rows: Vec<_> = grants.iter().map(Row::grant).collect();
    rows.push(Row::holding("maria", "banker", "acme"));
    rows.push(Row::listing("codex", "factset"));
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
    let kinds = [
        grant("r", Eft::Allow),
        grant("r", Eft::Deny),
        Grant { plugin: Some("lseg"), ..grant("r", Eft::Deny) },
    ];
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
        assert_eq!(policy.ask(&Request { plugin: "lseg", ..request() }).unwrap(), answer(false, &[]));
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
        Request { marketplace: "", ..r },
        Request { plugin: "", ..r },
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
        Row::listing("codex", "factset"),
    ];
    let mut policy = Policy::compile(&rows).await.unwrap();
    assert!(!policy.ask(&request()).unwrap().allowed);
    assert!(!policy.ask(&Request { tenant: "other", ..request() }).unwrap().allowed);
}

#[tokio::test]
async fn names_of_different_kinds_never_meet_in_the_role_graph() {
    // `g` and `g2` share a graph: a role, a marketplace and a tenant of one and the same id
    let same = Grant { role: Some("codex"), plugin: None, ..grant("a", Eft::Allow) };
    let listed = [Row::grant(&same), Row::listing("codex", "factset")];
    let mut policy = Policy::compile(&listed).await.unwrap();
    assert!(!policy.ask(&Request { principal: "codex", ..request() }).unwrap().allowed);
    let held = [Row::grant(&same), Row::holding("maria", "codex", "acme")];
    let mut policy = Policy::compile(&held).await.unwrap();
    assert!(!policy.ask(&request()).unwrap().allowed);
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
