//! Decisions: in process beside a hand-written lookup, over gRPC beside an empty echo, and on another server after a
//! change. With the feature `peers`, also casbin and Cedar on the same policy and the same answers.

#[cfg(feature = "peers")]
mod peers;
mod served;

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use decision::{
    Change, Effect, Snapshot, Stage, Target, compile,
    sample::{Dice, NOW, Size, facts, plugin, principal},
};
use serde_json::{Map, Value, json};
use tests::Engine;

use crate::load::Plan;

/// Questions that are asked in turn.
const QUESTIONS: usize = 20_000;
/// Rounds of a figure in process; the median counts.
const ROUNDS: usize = 9;

/// Measures with that many rules, and prints a table of what it is with fewer.
pub async fn run(engine: Engine, plan: Plan, rules: u32) -> Value {
    let mut figures = Map::new();
    for rules in [100, 1_000, 10_000, 100_000].into_iter().filter(|n| *n < rules).chain([rules]) {
        figures = in_process(rules);
        eprintln!("{rules} rules: {}", Value::Object(figures.clone()));
    }
    #[cfg(feature = "peers")]
    figures.extend(peers::run(rules.min(10_000)));
    figures.extend(served::run(engine, plan, rules).await);
    Value::Object(figures)
}

/// What the engine does by itself, on facts of every kind.
fn in_process(rules: u32) -> Map<String, Value> {
    let size = Size::of(rules);
    let facts = facts(size);
    let compiled = median(|| timed(|| drop(black_box(compile(&facts).unwrap()))));
    let snapshot = compile(&facts).unwrap();
    let footprint = snapshot.footprint();
    let mut dice = Dice::new(3);
    let questions: Vec<_> = (0..QUESTIONS)
        .map(|_| (principal(dice.roll(size.principals)), plugin(dice.roll(size.plugins))))
        .collect();
    let lookup = Lookup::new(&snapshot, size);
    let decide = |(who, what): &(String, String)| snapshot.decide(who, Target::Plugin(what), NOW).allowed;
    let yes = questions.iter().filter(|q| decide(q)).count();
    assert_eq!(
        yes,
        questions.iter().filter(|q| lookup.allows(q)).count(),
        "the floor gives the same answers"
    );
    let each = |ask: &dyn Fn(&(String, String)) -> bool| {
        let all = || questions.iter().filter(|q| ask(q)).count();
        median(|| timed(|| _ = black_box(all()))).as_secs_f64() * 1e9 / QUESTIONS as f64
    };
    // in turns, so that both meet the same machine
    let (mean, floor) = (each(&decide), each(&|q| lookup.allows(q)));
    let mut latencies: Vec<_> = questions.iter().map(|q| timed(|| _ = black_box(decide(q)))).collect();
    latencies.sort_unstable();
    let mut people = (0..500).map(|at| principal(at * 7 % size.principals)).cycle();
    let mut usable: Vec<_> = (0..2_000)
        .map(|_| {
            let who = people.next().unwrap_or_default();
            timed(|| drop(black_box(snapshot.usable(&who, NOW))))
        })
        .collect();
    usable.sort_unstable();
    let micros = |time: Duration| (time.as_secs_f64() * 1e7).round() / 10.0;
    json!({
        "rules": rules,
        "allowed_percent": yes * 100 / QUESTIONS,
        "decide_p50_ns": latencies[QUESTIONS / 2].as_nanos(),
        "decide_p99_ns": latencies[QUESTIONS * 99 / 100].as_nanos(),
        "decide_mean_ns": mean.round(),
        "floor_mean_ns": floor.round(),
        "floor_ratio": (mean / floor * 100.0).round() / 100.0,
        "list_usable_us": micros(usable[1_000]),
        "list_usable_p99_us": micros(usable[1_980]),
        "compile_ms": millis(compiled),
        "delta_ms": millis(delta(&snapshot, &facts)),
        "bytes_per_rule": footprint.bytes_per_rule(),
        "bytes_per_edge": footprint.bytes_per_edge(),
    })
    .as_object()
    .cloned()
    .unwrap_or_default()
}

/// The slowest of the changes that come most: a rule, a suspension, a withdrawal, a new member of a role.
fn delta(snapshot: &Snapshot, facts: &decision::Facts) -> Duration {
    let mut rule = facts.rules[facts.rules.len() / 2].clone();
    rule.effect = Effect::Denied;
    let mut new = rule.clone();
    (new.id, new.role) = ("new".to_owned(), None);
    let mut user = facts.principals[0].clone();
    user.suspended = true;
    let mut withdrawn = facts.plugins[0].clone();
    withdrawn.stage = Stage::Withdrawn;
    let mut role = facts.roles[3].clone();
    role.principals.push(principal(5));
    let changes = [
        Change::RemoveRule(rule.id.clone()),
        Change::PutRule(rule),
        Change::PutRule(new),
        Change::PutPrincipal(user),
        Change::PutPlugin(withdrawn),
        Change::PutRole(role),
    ];
    let apply =
        |change| median(|| timed(|| drop(black_box(snapshot.apply(std::slice::from_ref(change)).unwrap()))));
    changes.iter().map(apply).max().unwrap_or_default()
}

/// What one would write by hand: names to numbers, and a bit for every pair, worked out beforehand. It knows no time, no
/// seats and no changes.
struct Lookup {
    principals: HashMap<String, usize>,
    plugins: HashMap<String, usize>,
    words: usize,
    bits: Vec<u64>,
}

impl Lookup {
    fn new(snapshot: &Snapshot, size: Size) -> Self {
        let words = (size.plugins as usize).div_ceil(64);
        let mut bits = vec![0; size.principals as usize * words];
        let named =
            |count: u32, name: fn(u32) -> String| (0..count).map(|at| (name(at), at as usize)).collect();
        let plugins: HashMap<String, usize> = named(size.plugins, plugin);
        for who in 0..size.principals {
            for usable in snapshot.usable(&principal(who), NOW) {
                let at = plugins[usable.plugin];
                bits[who as usize * words + at / 64] |= 1 << (at % 64);
            }
        }
        Self { principals: named(size.principals, principal), plugins, words, bits }
    }

    fn allows(&self, (who, what): &(String, String)) -> bool {
        let found = self.principals.get(who).zip(self.plugins.get(what));
        found.is_some_and(|(who, what)| self.bits[who * self.words + what / 64] >> (what % 64) & 1 == 1)
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| run()).collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}
