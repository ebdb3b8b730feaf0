//! The engine must decide as casbin does, and must be caught when it does not.
//!
//! Policies come of seeds, from `PROVOST_SEED` (default 0) on, so that a run can be repeated and another can try others.

use std::{collections::BTreeSet, thread};

use super::{
    oracle::{self, Oracle},
    random::{self, MOMENTS},
};
use crate::{model::*, mutant::Mutant, sample::Dice, snapshot::compile};

/// Policies a run.
const POLICIES: u64 = 10_000;
/// Questions a policy.
const QUESTIONS: usize = 6;
/// Policies after which a fault must have shown.
const PATIENCE: u64 = 2_000;

fn first_seed() -> u64 {
    std::env::var("PROVOST_SEED").map_or(0, |seed| seed.parse().expect("PROVOST_SEED is a number"))
}

/// A tenant as casbin's model can hold it: everything ready, nobody suspended. What the model
/// does not know is held against the plain reading of the rules instead.
fn tenant(dice: &mut Dice) -> Facts {
    let mut facts = random::facts(dice);
    facts.principals.iter_mut().for_each(|principal| principal.suspended = false);
    facts.plugins.iter_mut().for_each(|plugin| plugin.missing.clear());
    facts
}

/// How many of a policy's answers are a yes, or the first question that is answered differently.
fn compare(model: &casbin::DefaultModel, seed: u64) -> Result<usize, String> {
    let mut dice = Dice::new(seed);
    let facts = tenant(&mut dice);
    let snapshot = compile(&facts).unwrap();
    let oracle = Oracle::new(model, &facts);
    let mut yes = 0;
    for _ in 0..QUESTIONS {
        let who = random::pick(&mut dice, &facts.principals);
        let what = random::wanted(&mut dice);
        let now = random::pick(&mut dice, &MOMENTS);
        let (mut allowed, denied) = oracle.ask(&who.id, what.as_ref(), now);
        if let PrincipalKind::Agent { owner } = &who.kind {
            let user = facts.principals.iter().any(|p| p.id == *owner && p.kind == PrincipalKind::User);
            allowed &= user && oracle.ask(owner, what.as_ref(), now).0;
        }
        let decision = snapshot.decide(&who.id, what.as_ref(), now);
        let explanation = snapshot.explain(&who.id, what.as_ref(), now);
        let forbids =
            explanation.told.iter().filter(|t| t.effect == Effect::Denied && t.obstacles.is_empty());
        let forbids: BTreeSet<_> = forbids.map(|t| t.rule).collect();
        if (decision.allowed, &forbids) != (allowed, &denied) || explanation.decision != decision {
            let asked = format!("seed {seed}: {} for {what:?} at {now}", who.id);
            return Err(format!(
                "{asked}: casbin {allowed} {denied:?}, engine {decision:?} {forbids:?}\n{facts:#?}"
            ));
        }
        yes += usize::from(allowed);
    }
    Ok(yes)
}

#[test]
fn casbin_and_the_engine_agree_on_random_policies() {
    let first = first_seed();
    let half = |seeds: std::ops::Range<u64>| {
        let model = oracle::model();
        seeds
            .map(|seed| compare(&model, first + seed).unwrap_or_else(|difference| panic!("{difference}")))
            .sum::<usize>()
    };
    let yes: usize = thread::scope(|scope| {
        let halves = [0..POLICIES / 2, POLICIES / 2..POLICIES].map(|seeds| scope.spawn(move || half(seeds)));
        halves.map(|half| half.join().unwrap()).into_iter().sum()
    });
    let questions = usize::try_from(POLICIES).unwrap() * QUESTIONS;
    assert!(yes * 3 >= questions, "{yes} of {questions} are a yes: agreement on a no says little");
    assert!(yes * 3 <= questions * 2, "{yes} of {questions} are a yes: agreement on a yes says little");
}

#[test]
fn every_fault_is_found() {
    let (model, first) = (oracle::model(), first_seed());
    for mutant in Mutant::ALL {
        let found = mutant.during(|| (first..first + PATIENCE).find(|&seed| compare(&model, seed).is_err()));
        assert!(found.is_some(), "{mutant:?} was not found in {PATIENCE} policies");
    }
}
