//! Casbin and Cedar on the same policy: role x plugin -> allow or deny, a few roles a principal.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hint::black_box,
    time::{Duration, Instant},
};

use casbin::{CoreApi as _, DefaultModel, Enforcer, MgmtApi as _};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use decision::{
    Effect, Facts, Level, MaxStage, Plugin, Principal, PrincipalKind, Role, Rule, Stage, Target, compile,
    sample::{Dice, NOW},
};
use serde_json::{Map, Value, json};

/// What casbin is asked, which takes milliseconds each.
const FEW: usize = 40;
/// What Cedar is asked.
const MANY: usize = 4_000;

/// Casbin's usual way of role x plugin with denials.
const MODEL: &str = r"
[request_definition]
r = sub, obj
[policy_definition]
p = sub, obj, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.obj == p.obj && g(r.sub, p.sub)
";

/// Cedar's best idiom: one policy each way, driven by data.
const POLICIES: &str = "
permit(principal, action, resource) when { principal.roles.containsAny(resource.allowed) };
forbid(principal, action, resource) when { principal.roles.containsAny(resource.denied) };
";

/// Measures with that many rules.
pub fn run(rules: u32) -> Map<String, Value> {
    let (principals, plugins, roles) = (1_000, 1_000, rules.div_ceil(100).max(10));
    let facts = facts(rules, principals, plugins, roles);
    let snapshot = compile(&facts).unwrap();
    let mut dice = Dice::new(5);
    let questions: Vec<_> = (0..MANY)
        .map(|_| (format!("p{}", dice.roll(principals)), format!("m/k{}", dice.roll(plugins))))
        .collect();
    let ours = |(who, what): &(String, String)| snapshot.decide(who, Target::Plugin(what), NOW).allowed;
    let mut times = Vec::new();
    for _ in 0..9 {
        times.push(each(&questions, &ours));
    }
    times.sort_by(f64::total_cmp);
    let decide = times[4];
    let casbin = casbin(&facts, &questions, &ours);
    let cedar = cedar(&facts, &questions, &ours);
    json!({
        "peer_rules": rules,
        "peer_decide_ns": decide.round(),
        "casbin_ns": casbin.round(),
        "cedar_ns": cedar.round(),
        "casbin_ratio": (casbin / decide).round(),
        "cedar_ratio": (cedar / decide * 10.0).round() / 10.0,
    })
    .as_object()
    .cloned()
    .unwrap_or_default()
}

fn each(questions: &[(String, String)], ask: &dyn Fn(&(String, String)) -> bool) -> f64 {
    let begun = Instant::now();
    black_box(questions.iter().filter(|q| ask(q)).count());
    begun.elapsed().as_secs_f64() * 1e9 / questions.len() as f64
}

fn casbin(facts: &Facts, questions: &[(String, String)], ours: &dyn Fn(&(String, String)) -> bool) -> f64 {
    let runtime = tokio::runtime::Handle::current();
    let mut enforcer = tokio::task::block_in_place(|| {
        runtime.block_on(async {
            let model = DefaultModel::from_str(MODEL).await.unwrap();
            Enforcer::new(model, ()).await.unwrap()
        })
    });
    let model = enforcer.get_mut_model();
    for rule in &facts.rules {
        let Target::Plugin(plugin) = &rule.target else { continue };
        let effect = if rule.effect == Effect::Denied { "deny" } else { "allow" };
        let row = vec![rule.role.clone().unwrap_or_default(), plugin.clone(), effect.to_owned()];
        model.add_policy("p", "p", row);
    }
    for role in &facts.roles {
        for who in &role.principals {
            model.add_policy("g", "g", vec![who.clone(), role.id.clone()]);
        }
    }
    enforcer.build_role_links().unwrap();
    assert!(!enforcer.get_policy().is_empty());
    let mut spent = Duration::ZERO;
    for question in &questions[..FEW] {
        let begun = Instant::now();
        let allowed = enforcer.enforce((question.0.as_str(), question.1.as_str())).unwrap();
        spent += begun.elapsed();
        assert_eq!(allowed, ours(question), "casbin on {question:?}");
    }
    spent.as_secs_f64() * 1e9 / FEW as f64
}

fn cedar(facts: &Facts, questions: &[(String, String)], ours: &dyn Fn(&(String, String)) -> bool) -> f64 {
    let uid = |kind: &str, id: &str| -> EntityUid { format!("{kind}::\"{id}\"").parse().unwrap() };
    let set = |ids: Option<&Vec<String>>| {
        let ids = ids.into_iter().flatten().map(|id| RestrictedExpression::new_string(id.clone()));
        RestrictedExpression::new_set(ids)
    };
    let mut held: HashMap<String, Vec<String>> = HashMap::new();
    for role in &facts.roles {
        for who in &role.principals {
            held.entry(who.clone()).or_default().push(role.id.clone());
        }
    }
    let mut said: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
    for rule in &facts.rules {
        let (Target::Plugin(plugin), Some(role)) = (&rule.target, &rule.role) else { continue };
        said.entry((plugin.clone(), rule.effect == Effect::Denied)).or_default().push(role.clone());
    }
    let people = facts.principals.iter().map(|p| {
        let roles = [("roles".to_owned(), set(held.get(&p.id)))];
        Entity::new(uid("User", &p.id), roles.into_iter().collect(), HashSet::new()).unwrap()
    });
    let plugins = facts.plugins.iter().map(|p| {
        let of = |denied| set(said.get(&(p.id.clone(), denied)));
        let sets = [("allowed".to_owned(), of(false)), ("denied".to_owned(), of(true))];
        Entity::new(uid("Plugin", &p.id), sets.into_iter().collect(), HashSet::new()).unwrap()
    });
    let entities = Entities::from_entities(people.chain(plugins), None).unwrap();
    let policies: PolicySet = POLICIES.parse().unwrap();
    let requests: Vec<_> = questions
        .iter()
        .map(|(who, what)| {
            let (who, what) = (uid("User", who), uid("Plugin", what));
            Request::new(who, uid("Action", "use"), what, Context::empty(), None).unwrap()
        })
        .collect();
    let authorizer = Authorizer::new();
    for (request, question) in requests.iter().zip(questions) {
        let allowed = authorizer.is_authorized(request, &policies, &entities).decision() == Decision::Allow;
        assert_eq!(allowed, ours(question), "Cedar on {question:?}");
    }
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        for request in &requests {
            black_box(authorizer.is_authorized(request, &policies, &entities).decision());
        }
        times.push(begun.elapsed().as_secs_f64() * 1e9 / requests.len() as f64);
    }
    times.sort_by(f64::total_cmp);
    times[4]
}

/// Roles, and rules of roles about plugins; one rule in ten denies, and a role has one rule about a plugin at most.
fn facts(rules: u32, principals: u32, plugins: u32, roles: u32) -> Facts {
    let mut dice = Dice::new(13);
    let mut pairs = HashSet::new();
    while pairs.len() < rules as usize {
        pairs.insert((dice.roll(roles), dice.roll(plugins)));
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_unstable();
    let mut holders = vec![Vec::new(); roles as usize];
    for who in 0..principals {
        let first = dice.roll(roles);
        for n in 0..3 {
            holders[((first + n * 3) % roles) as usize].push(format!("p{who}"));
        }
    }
    let rule = |(at, (role, plugin)): (usize, (u32, u32))| Rule {
        id: format!("e{at}"),
        tenant: None,
        role: Some(format!("r{role}")),
        target: Target::Plugin(format!("m/k{plugin}")),
        effect: if at % 10 == 0 { Effect::Denied } else { Effect::Available },
        max_stage: MaxStage::Live,
        seat_pool: None,
        not_before: None,
        not_after: None,
        level: Level::Ordinary,
        reason: String::new(),
    };
    let role = |(at, principals)| Role {
        id: format!("r{at}"),
        principals,
        groups: Vec::new(),
        includes: Vec::new(),
    };
    let kind = PrincipalKind::User;
    Facts {
        tenant: "acme".to_owned(),
        active: true,
        principals: (0..principals)
            .map(|n| Principal { id: format!("p{n}"), kind: kind.clone(), suspended: false })
            .collect(),
        roles: holders.into_iter().enumerate().map(role).collect(),
        plugins: (0..plugins)
            .map(|n| Plugin {
                id: format!("m/k{n}"),
                marketplace: "m".to_owned(),
                stage: Stage::Live,
                sunset: None,
                missing: Vec::new(),
                apps: Vec::new(),
                skills: Vec::new(),
            })
            .collect(),
        rules: pairs.into_iter().enumerate().map(rule).collect(),
        ..Facts::default()
    }
}
