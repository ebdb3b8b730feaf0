//! Whatever is corrected in whatever order, the figures are those of the events that stand.

use std::collections::BTreeMap;

use proto::usage::v1 as pb;
use tests::{Engine, Site};
use tonic::Code;

use super::{
    amend, amendment, at,
    backfills::{commit, open, placed, stage},
    bench::{Bench, Fact, questions},
    revert, seq, void,
};

/// Steps of one run: `PROVOST_STEPS` says how many, `PROVOST_SEED` which.
fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

/// What a correction took back and added.
struct Made {
    name: String,
    taken: Vec<i64>,
    added: Vec<i64>,
}

struct Run {
    bench: Bench,
    random: Random,
    made: Vec<Made>,
    /// Ids of events that only backfills send.
    next: usize,
}

impl Run {
    fn standing(&mut self, most: usize) -> Vec<i64> {
        let mut all = self.bench.standing();
        let count = (1 + self.random.below(most)).min(all.len());
        (0..count)
            .map(|_| {
                let n = self.random.below(all.len());
                all.swap_remove(n)
            })
            .collect()
    }

    async fn void(&mut self) {
        let taken = self.standing(5);
        if taken.is_empty() {
            return;
        }
        let made =
            void(&self.bench.owner(), taken.iter().map(|s| seq(*s)).collect(), "random").await.unwrap();
        self.bench.void(&taken);
        self.made.push(Made { name: made.name, taken, added: Vec::new() });
    }

    async fn amend(&mut self) {
        let taken = self.standing(3);
        if taken.is_empty() {
            return;
        }
        let olds: Vec<_> =
            taken.iter().map(|s| self.bench.facts.iter().find(|f| f.seq == *s).unwrap().clone()).collect();
        let mut news = Vec::new();
        let mut amendments = Vec::new();
        for old in &olds {
            let tokens = self.random.below(100);
            let moved = self.random.below(2) == 0;
            let time =
                if moved { at(i64::try_from(self.random.below(29 * 1_440)).unwrap()) } else { old.time };
            news.push(Fact { tokens: i64::try_from(tokens).unwrap(), skills: 0, time, ..old.clone() });
            amendments.push(pb::UsageAmendment {
                time: moved.then(|| time.into()),
                ..amendment(seq(old.seq), &tokens.to_string())
            });
        }
        let owner = self.bench.owner();
        let made = amend(&owner, amendments).await.unwrap();
        let added = placed(&owner, &made.name, news).await;
        self.bench.void(&taken);
        self.made.push(Made { name: made.name, taken, added: added.iter().map(|f| f.seq).collect() });
        self.bench.facts.extend(added);
    }

    async fn backfill(&mut self) {
        let start = i64::try_from(self.random.below(25 * 1_440)).unwrap();
        let span = (at(start), at(start + 1 + i64::try_from(self.random.below(5 * 1_440)).unwrap()));
        let client = ["", "codex"][self.random.below(2)];
        let replace = self.random.below(2) == 0;
        let mut news: Vec<Fact> = Vec::new();
        for _ in 0..self.random.below(8) {
            // some under ids that are known already
            let known = self.random.below(3) == 0 && !self.bench.facts.is_empty();
            let old = known.then(|| self.bench.facts[self.random.below(self.bench.facts.len())].clone());
            let fact = old.unwrap_or_else(|| {
                self.next += 1;
                Fact::new(self.next)
            });
            let minutes = (span.1.micros() - span.0.micros()) / 60_000_000;
            let time = span.0.plus(std::time::Duration::from_mins(
                self.random.below(usize::try_from(minutes).unwrap()) as u64,
            ));
            let client = if client.is_empty() { fact.client.clone() } else { client.to_owned() };
            if news.iter().all(|n| n.id != fact.id) {
                news.push(Fact { time, client, standing: true, seq: 0, tokens: 9, skills: 1, ..fact });
            }
        }
        let owner = self.bench.owner();
        let of = pb::UsageCorrection { client: client.to_owned(), replace, ..Default::default() };
        let opened = open(&owner, span, of).await.unwrap();
        stage(&owner, &opened.name, news.iter().map(Fact::event).collect()).await.unwrap();
        self.bench.check("staged", &questions()[0]).await;
        let made = commit(&owner, &opened.name, false).await.unwrap();
        let within = |f: &&Fact| {
            f.standing && f.time >= span.0 && f.time < span.1 && (client.is_empty() || f.client == client)
        };
        let taken: Vec<_> = if replace {
            self.bench.facts.iter().filter(within).map(|f| f.seq).collect()
        } else {
            Vec::new()
        };
        self.bench.void(&taken);
        let stands = |id: &str| self.bench.facts.iter().any(|f| f.standing && f.id == id);
        let news: Vec<_> = news.into_iter().filter(|n| !stands(&n.id)).collect();
        assert_eq!(
            (made.taken_count, made.added_count),
            (i64::try_from(taken.len()).unwrap(), i64::try_from(news.len()).unwrap())
        );
        let added = placed(&owner, &made.name, news).await;
        self.made.push(Made { name: made.name, taken, added: added.iter().map(|f| f.seq).collect() });
        self.bench.facts.extend(added);
    }

    async fn revert(&mut self) {
        if self.made.is_empty() {
            return;
        }
        // mostly the last: others are often built upon
        let n =
            if self.random.below(3) == 0 { self.random.below(self.made.len()) } else { self.made.len() - 1 };
        match revert(&self.bench.owner(), &self.made[n].name).await {
            Ok(_) => {
                let Made { taken, added, .. } = self.made.remove(n);
                // what a reverted correction added never stands again, whoever took it back
                for other in &mut self.made {
                    other.taken.retain(|s| !added.contains(s));
                }
                self.bench.stand(&taken);
                self.bench.void(&added);
            }
            Err(refused) => assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}"),
        }
    }

    /// Of a source and an id, at most one event stands.
    fn once(&self) {
        let mut seen = BTreeMap::new();
        for fact in self.bench.facts.iter().filter(|f| f.standing) {
            assert_eq!(seen.insert(fact.id.as_str(), fact.seq), None, "{fact:?}");
        }
    }
}

async fn corrected_at_random(engine: Engine) {
    let bench = Bench::open(Site::start(engine).await).await;
    let mut run = Run { bench, random: Random(from_env("PROVOST_SEED", 1)), made: Vec::new(), next: 10_000 };
    run.bench.ingest(150).await;
    let asked = questions();
    for step in 0..from_env("PROVOST_STEPS", 70) {
        match run.random.below(10) {
            0 | 1 => run.void().await,
            2 | 3 => run.amend().await,
            4 | 5 => run.backfill().await,
            6 | 7 => run.revert().await,
            8 => run.bench.look().await,
            _ => {
                run.bench.ingest(7).await;
                run.bench.roll().await;
            }
        }
        run.once();
        let question = &asked[run.random.below(asked.len())];
        run.bench.check(&format!("step {step}"), question).await;
    }
    run.bench.check_all("in the end").await;
    run.bench.roll().await;
    run.bench.check_all("in the end, rolled up").await;
    let report = run.bench.verified().await;
    assert!(report.agrees() && report.stale == 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrections_at_random_leave_the_figures_of_what_stands_sqlite() {
    corrected_at_random(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrections_at_random_leave_the_figures_of_what_stands_postgres() {
    corrected_at_random(Engine::Postgres).await;
}
