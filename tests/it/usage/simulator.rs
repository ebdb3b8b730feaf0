//! A simulation: a seed makes a trace of everything that can happen to usage on its way, and the figures are those of an oracle that
//! keeps the events in memory and knows nothing of places, rollups or time zone libraries. The same trace runs on both engines and has
//! to end the same. A trace that fails is cut down until every step that is left is needed, and printed with its seed.
//!
//! `PROVOST_SEEDS` says how many seeds: 6 by default. `PROVOST_SEED` runs one.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tests::{Engine, Site, site::START};

use self::{node::Node, oracle::Oracle, trace::Step};

mod node;
mod oracle;
mod trace;

/// How often a failing trace is run while it is cut down.
const CUTS: usize = 200;

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("PROVOST_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("PROVOST_SEEDS").unwrap_or(6)).collect(),
    }
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Runs a trace; returns all its figures, as text. There is always a node in `place`, except while it restarts.
async fn run(place: &mut Option<Node>, steps: &[Step]) -> String {
    let mut oracle = Oracle::default();
    let mut seen = String::new();
    for step in steps {
        match step {
            Step::Send(batch) => at(place).send(&mut oracle, batch, false).await,
            Step::Lost(batch) => {
                at(place).lose(batch).await;
                at(place).send(&mut oracle, batch, true).await;
            }
            Step::Wait(minutes) => at(place).wait(*minutes),
            Step::Roll => at(place).roll().await,
            Step::Crash(polls) => at(place).crash(*polls).await,
            Step::Restart(back) => {
                let node = place.take().unwrap();
                *place = Some(node.restart(*back).await);
            }
            Step::Ask => seen.push_str(&at(place).ask(&oracle).await),
        }
    }
    let node = at(place);
    seen.push_str(&node.ask(&oracle).await);
    node.roll().await;
    seen.push_str(&node.ask(&oracle).await);
    node.verify(&oracle).await;
    seen
}

fn at(place: &mut Option<Node>) -> &mut Node {
    place.as_mut().unwrap()
}

/// What is wrong with a trace, if anything is.
async fn fault(steps: &[Step]) -> Option<String> {
    let mut seen = Vec::new();
    for engine in Engine::BOTH {
        // rolled up by the trace alone
        let own_time = ("usage.rollup_interval_ms", "3600000".to_owned());
        let mut place = Some(Node::open(Site::start_with(engine, &[own_time]).await).await);
        let ended = AssertUnwindSafe(run(&mut place, steps)).catch_unwind().await;
        if let Some(node) = place {
            node.stop().await;
        }
        match ended {
            Ok(figures) => seen.push(figures),
            Err(panic) => {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked");
                return Some(format!("{engine:?}: {said}"));
            }
        }
    }
    (seen[0] != seen[1]).then(|| format!("the engines differ: {} / {}", seen[0], seen[1]))
}

/// Looks for a fault by a seed; what is found is the shortest trace that has one.
async fn smallest_fault(seed: u64) -> Option<(Vec<Step>, String)> {
    let mut tree = trace::trace().new_tree(&mut runner(seed)).unwrap();
    let mut worst = (tree.current(), fault(&tree.current()).await?);
    for _ in 0..CUTS {
        if !tree.simplify() {
            break;
        }
        loop {
            if let Some(said) = fault(&tree.current()).await {
                worst = (tree.current(), said);
                break;
            }
            if !tree.complicate() {
                return Some(worst);
            }
        }
    }
    Some(worst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_those_of_the_oracle_whatever_happens_on_the_way() {
    for seed in seeds() {
        if let Some((steps, said)) = smallest_fault(seed).await {
            let steps: Vec<_> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("seed {seed} (PROVOST_SEED={seed}), from {START}:\n{}\n{said}", steps.join("\n"));
        }
    }
}

#[test]
fn a_seed_makes_the_same_trace_every_time_and_others_make_others() {
    let make = |seed| trace::trace().new_tree(&mut runner(seed)).unwrap().current();
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
    // everything that can happen happens within a few seeds
    let all: Vec<_> = (1..=20).flat_map(make).collect();
    for name in ["Send", "Lost", "Wait", "Roll", "Crash", "Restart", "Ask"] {
        assert!(all.iter().any(|step| format!("{step:?}").starts_with(name)), "{name}");
    }
}
