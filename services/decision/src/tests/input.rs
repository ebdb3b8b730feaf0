//! Facts as nobody should write them: refused with the reason, and never a panic.

use super::random::{self, NOW};
use crate::{
    Reason,
    error::{CompileError, Kind},
    model::*,
    sample::{self, Dice, Size},
    snapshot::compile,
};

fn facts() -> Facts {
    random::facts(&mut Dice::new(5))
}

fn refused(change: impl FnOnce(&mut Facts)) -> CompileError {
    let mut facts = facts();
    change(&mut facts);
    compile(&facts).map(drop).unwrap_err()
}

fn role(id: &str, includes: &[&str]) -> Role {
    let includes = includes.iter().map(|id| (*id).to_owned()).collect();
    Role { id: id.to_owned(), principals: Vec::new(), groups: Vec::new(), includes }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_circle_is_refused_with_its_names() {
    let error = refused(|f| f.roles = vec![role("a", &["b"]), role("b", &["c"]), role("c", &["b"])]);
    // other facts name roles that are gone then, which is found first
    assert!(matches!(error, CompileError::Unknown { .. } | CompileError::Cycle { .. }), "{error}");
    let alone = |roles| {
        let facts = Facts { tenant: "acme".to_owned(), active: true, roles, ..Facts::default() };
        compile(&facts).map(drop).unwrap_err()
    };
    let error = alone(vec![role("a", &["b"]), role("b", &["c"]), role("c", &["b"])]);
    assert_eq!(error, CompileError::Cycle { kind: Kind::Role, names: names(&["b", "c", "b"]) });
    assert_eq!(error.to_string(), "roles lead back to themselves: `b` -> `c` -> `b`; take one link out");
    let error = alone(vec![role("a", &["a"])]);
    assert_eq!(error, CompileError::Cycle { kind: Kind::Role, names: names(&["a", "a"]) });
    let error = refused(|f| f.groups[0].groups = names(&["staff"]));
    assert_eq!(error, CompileError::Cycle { kind: Kind::Group, names: names(&["staff", "staff"]) });
}

#[test]
fn eight_roles_in_a_chain_are_taken_and_nine_refused_with_their_names() {
    let chain = |length: usize| {
        let link = |at: usize| if at + 1 < length { vec![format!("r{}", at + 1)] } else { Vec::new() };
        let role = |at| Role { includes: link(at), ..role(&format!("r{at}"), &[]) };
        Facts { tenant: "acme".to_owned(), roles: (0..length).map(role).collect(), ..Facts::default() }
    };
    assert!(compile(&chain(MAX_DEPTH)).is_ok());
    let CompileError::Depth { kind, names } = compile(&chain(9)).map(drop).unwrap_err() else { panic!() };
    assert_eq!((kind, names), (Kind::Role, (0..9).map(|at| format!("r{at}")).collect()));
    // no recursion that a long chain could exhaust
    assert!(matches!(compile(&chain(200_000)), Err(CompileError::Depth { .. })));
}

#[test]
fn what_is_named_must_be_there() {
    let unknown =
        |kind, id: &str, by: &str| CompileError::Unknown { kind, id: id.to_owned(), by: by.to_owned() };
    let gone = || names(&["gone"]);
    let table = [
        (refused(|f| f.groups[1].principals = gone()), unknown(Kind::Principal, "gone", "group `desk`")),
        (refused(|f| f.groups[1].groups = gone()), unknown(Kind::Group, "gone", "group `desk`")),
        (refused(|f| f.roles[1].principals = gone()), unknown(Kind::Principal, "gone", "role `banker`")),
        (refused(|f| f.roles[1].groups = gone()), unknown(Kind::Group, "gone", "role `banker`")),
        (refused(|f| f.roles[1].includes = gone()), unknown(Kind::Role, "gone", "role `banker`")),
        (
            refused(|f| f.plugin_groups[0].plugins = gone()),
            unknown(Kind::Plugin, "gone", "plugin group `network`"),
        ),
        (refused(|f| f.seat_pools[1].holders = gone()), unknown(Kind::Principal, "gone", "seat pool `lab`")),
    ];
    for (found, expected) in table {
        assert_eq!(found, expected);
    }
    let of_rule = |change: fn(&mut Rule)| {
        refused(|f| {
            f.rules[0].tenant = None;
            change(&mut f.rules[0]);
        })
    };
    let gone = |kind, id| unknown(kind, id, "rule `rule 0`");
    let plugin = || "codex/git".to_owned();
    assert_eq!(of_rule(|r| r.role = Some("gone".to_owned())), gone(Kind::Role, "gone"));
    assert_eq!(of_rule(|r| r.seat_pool = Some("gone".to_owned())), gone(Kind::SeatPool, "gone"));
    assert_eq!(of_rule(|r| r.target = Target::Plugin("gone".to_owned())), gone(Kind::Plugin, "gone"));
    assert_eq!(
        of_rule(|r| r.target = Target::PluginGroup("gone".to_owned())),
        gone(Kind::PluginGroup, "gone")
    );
    let part = refused(|f| {
        f.rules[0].tenant = None;
        f.rules[0].target = Target::App { plugin: plugin(), app: "draft".to_owned() };
    });
    assert_eq!(part, gone(Kind::App, "codex/git/draft"));
    assert_eq!(
        part.to_string(),
        "rule `rule 0` names app `codex/git/draft`, which is not there; add it or take the name out"
    );
}

#[test]
fn an_id_is_neither_empty_nor_there_twice() {
    let twice = |kind, id: &str| CompileError::Duplicate { kind, id: id.to_owned() };
    assert_eq!(refused(|f| f.principals.push(f.principals[0].clone())), twice(Kind::Principal, "ann"));
    assert_eq!(refused(|f| f.groups.push(f.groups[0].clone())), twice(Kind::Group, "staff"));
    assert_eq!(refused(|f| f.roles.push(f.roles[0].clone())), twice(Kind::Role, "employee"));
    assert_eq!(refused(|f| f.plugins.push(f.plugins[0].clone())), twice(Kind::Plugin, "codex/factset"));
    assert_eq!(
        refused(|f| f.plugin_groups.push(f.plugin_groups[0].clone())),
        twice(Kind::PluginGroup, "network")
    );
    assert_eq!(
        refused(|f| f.seat_pools.push(f.seat_pools[0].clone())),
        twice(Kind::SeatPool, "factset-seats")
    );
    assert_eq!(refused(|f| f.rules.push(f.rules[0].clone())), twice(Kind::Rule, "rule 0"));

    let empty = |kind| CompileError::Empty(kind);
    assert_eq!(refused(|f| f.tenant.clear()), empty(Kind::Tenant));
    assert_eq!(refused(|f| f.principals[0].id.clear()), empty(Kind::Principal));
    assert_eq!(refused(|f| f.groups[0].id.clear()), empty(Kind::Group));
    assert_eq!(refused(|f| f.roles[0].id.clear()), empty(Kind::Role));
    assert_eq!(refused(|f| f.roles[0].includes.push(String::new())), empty(Kind::Role));
    assert_eq!(refused(|f| f.plugins[0].id.clear()), empty(Kind::Plugin));
    assert_eq!(refused(|f| f.plugins[0].marketplace.clear()), empty(Kind::Marketplace));
    assert_eq!(refused(|f| f.plugins[0].apps[0].clear()), empty(Kind::App));
    assert_eq!(refused(|f| f.plugins[0].skills[0].clear()), empty(Kind::Skill));
    assert_eq!(refused(|f| f.plugin_groups[0].id.clear()), empty(Kind::PluginGroup));
    assert_eq!(refused(|f| f.seat_pools[0].id.clear()), empty(Kind::SeatPool));
    let of_rule = |change: fn(&mut Rule)| {
        refused(|f| {
            f.rules[0].tenant = None;
            change(&mut f.rules[0]);
        })
    };
    assert_eq!(of_rule(|r| r.id.clear()), empty(Kind::Rule));
    assert_eq!(of_rule(|r| r.role = Some(String::new())), empty(Kind::Role));
    assert_eq!(of_rule(|r| r.target = Target::Marketplace(String::new())), empty(Kind::Marketplace));
}

#[test]
fn a_window_that_is_never_open_is_refused() {
    let window = |from, until| {
        let mut facts = facts();
        facts.rules[0] = Rule { tenant: None, not_before: from, not_after: until, ..facts.rules[0].clone() };
        compile(&facts).map(drop)
    };
    let never = Err(CompileError::Window { rule: "rule 0".to_owned() });
    assert_eq!(window(Some(5), Some(5)), never);
    assert_eq!(window(Some(6), Some(5)), never);
    assert_eq!(window(Some(i64::MAX), Some(i64::MIN)), never);
    assert!(window(Some(i64::MIN), Some(i64::MAX)).is_ok());
    assert!(window(Some(i64::MAX), None).is_ok() && window(None, Some(i64::MIN)).is_ok());
}

#[test]
fn any_text_is_an_id_and_any_question_has_an_answer() {
    let odd = [
        "",
        " ",
        "*",
        "\0",
        "..",
        "../../etc/passwd",
        "ẞ",
        "e\u{301}",
        "é",
        "🦀",
        "a\nb",
        "'; --",
        "\u{202e}",
        "p, *, allow",
    ];
    let ids: Vec<_> = odd.iter().skip(1).map(|id| (*id).to_owned()).collect();
    let mut facts = Facts { tenant: "acme".to_owned(), active: true, ..Facts::default() };
    for id in &ids {
        facts.principals.push(Principal { id: id.clone(), kind: PrincipalKind::User, suspended: false });
        facts.roles.push(Role { principals: vec![id.clone()], ..role(id, &[]) });
        let parts = ids.clone();
        let (marketplace, missing) = (id.clone(), Vec::new());
        let (apps, skills) = (parts.clone(), parts);
        facts.plugins.push(Plugin {
            id: id.clone(),
            marketplace,
            stage: Stage::Live,
            sunset: None,
            missing,
            apps,
            skills,
        });
        let rule = Rule { id: id.clone(), role: Some(id.clone()), ..random::rule(&mut Dice::new(1), 0) };
        let target = Target::Plugin(id.clone());
        let rule = Rule { tenant: None, target, effect: Effect::Default, seat_pool: None, ..rule };
        facts.rules.push(Rule { max_stage: MaxStage::Live, not_before: None, not_after: None, ..rule });
    }
    let snapshot = compile(&facts).unwrap();
    for who in odd {
        for what in odd {
            for now in [i64::MIN, 0, NOW, i64::MAX] {
                let decision = snapshot.decide(who, Target::Plugin(what), now);
                let expected = match (who, what) {
                    ("", _) => Reason::UnknownPrincipal,
                    (_, "") => Reason::UnknownPlugin,
                    _ if who == what => Reason::Allowed,
                    _ => Reason::NoMatchingRule,
                };
                assert_eq!(decision.reason, expected, "{who:?} {what:?}");
                assert_eq!(snapshot.explain(who, Target::Plugin(what), now).decision, decision);
                let app = snapshot.decide(who, Target::App { plugin: what, app: what }, now);
                assert_eq!(app.reason, expected, "{who:?} {what:?}");
            }
        }
        for set in [Target::Marketplace(who), Target::PluginGroup(who)] {
            assert_eq!(snapshot.decide("*", set, NOW).reason, Reason::UnknownPlugin);
            assert!(snapshot.principals(set, NOW).is_empty());
        }
    }
    assert!(snapshot.usable("", NOW).is_empty() && snapshot.usable_parts("", "", NOW).is_empty());
}

#[test]
fn a_rule_takes_at_most_a_hundred_bytes_and_a_held_role_sixty_four() {
    for rules in [100, 1_000, 20_000] {
        let footprint = compile(&sample::facts(Size::of(rules))).unwrap().footprint();
        assert!(footprint.rules == rules as usize && footprint.edges > 0, "{footprint:?}");
        assert!(footprint.bytes_per_rule() <= 100 && footprint.bytes_per_edge() <= 64, "{footprint:?}");
    }
}

#[test]
fn fifty_thousand_rules_are_compiled_and_answered_as_they_read() {
    let size = Size { rules: 50_000, principals: 60, roles: 40, plugins: 80 };
    let facts = sample::facts(size);
    let snapshot = compile(&facts).unwrap();
    assert_eq!(snapshot.footprint().rules, 50_000);
    let mut dice = Dice::new(11);
    for _ in 0..40 {
        let (who, what) = (sample::principal(dice.roll(60)), sample::plugin(dice.roll(80)));
        let what = Target::Plugin(what.as_str());
        let decision = snapshot.decide(&who, what, sample::NOW);
        assert_eq!(decision, super::reference::answer(&facts, &who, what, sample::NOW).0, "{who} {what:?}");
    }
}

#[test]
fn agents_that_own_one_another_have_an_explanation_that_ends() {
    let agent = |id: &str, owner: &str| {
        let kind = PrincipalKind::Agent { owner: owner.to_owned() };
        Principal { id: id.to_owned(), kind, suspended: false }
    };
    let mut facts = facts();
    facts.principals.extend([agent("one", "two"), agent("two", "one"), agent("self", "self")]);
    facts.rules = vec![Rule {
        tenant: None,
        role: None,
        target: Target::Plugin("codex/git".to_owned()),
        effect: Effect::Required,
        max_stage: MaxStage::Alpha,
        seat_pool: None,
        not_before: None,
        not_after: None,
        ..facts.rules[0].clone()
    }];
    facts.plugins[1] = Plugin { stage: Stage::Live, missing: Vec::new(), ..facts.plugins[1].clone() };
    let snapshot = compile(&facts).unwrap();
    for id in ["one", "two", "self"] {
        let explanation = snapshot.explain(id, Target::Plugin("codex/git"), NOW);
        assert_eq!(explanation.decision.reason, Reason::OwnerNotEntitled);
        assert_eq!(explanation.remedies, [crate::Remedy::NameOwner { agent: id }]);
    }
}
