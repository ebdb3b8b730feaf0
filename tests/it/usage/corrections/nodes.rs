//! Corrections while others send, roll up, and die.

use std::{sync::Arc, time::Duration};

use kernel::clock::Clock;
use metering::rollup::{store, verify::verify};
use tests::{Engine, Site, both_engines, site::Caller};

use super::{
    Desk, amend, amendment,
    backfills::placed,
    bench::{Bench, Fact, questions},
    ingest, seq, void,
};

/// Waits until no day is stale and nothing waits to be rolled up.
async fn rolled_up(site: &Site) {
    let kernel = site.kernel();
    let all = async {
        loop {
            kernel.clock.advance(Duration::from_secs(11));
            if store::due_list(&mut kernel.db.reader().await.unwrap(), 10).await.unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all).await.expect("usage is rolled up");
}

both_engines! {
    async fn a_day_that_was_corrected_is_derived_again_by_whoever_comes_next(site: Site) {
        let mut bench = Bench::open(site).await;
        bench.ingest(100).await;
        bench.roll().await;
        let taken: Vec<_> = bench.facts.iter().step_by(9).map(|f| f.seq).collect();
        void(&bench.owner(), taken.iter().map(|s| seq(*s)).collect(), "x").await.unwrap();
        bench.void(&taken);
        let old = &bench.desk.world.site;
        let (engine, dir, url, secret) = (old.engine, Arc::clone(&old.dir), old.database_url.clone(), bench.owner().secret);
        let now = old.kernel().clock.now();
        // its lease is not over when another process begins
        let clock = Clock::manual(now);
        let Bench { desk, facts, roller, .. } = bench;
        // it holds the database
        drop(roller);
        desk.world.site.running.stop().await;
        let next = Site::on(engine, dir, url, clock, &[]).await;
        let owner = Caller { channel: next.channel.clone(), secret };
        rolled_up(&next).await;
        let tenant = store::tenant_list(&mut next.kernel().db.reader().await.unwrap()).await.unwrap()[0];
        let report = verify(next.kernel(), tenant).await.unwrap();
        assert!(report.agrees() && report.stale == 0 && report.events == facts.iter().filter(|f| f.standing).count() as u64, "{report:?}");
        for question in questions() {
            question.holds("another process", &owner, &facts).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_correct_and_roll_up_at_the_same_time() {
    let often = [("usage.rollup_interval_ms", "1".to_owned())];
    let desk = Desk::open(Site::start_with(Engine::Postgres, &often).await).await;
    let here = &desk.world.site;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    std::fs::copy(here.dir.path().join("audit.key"), dir.path().join("audit.key")).unwrap();
    let there =
        Site::on(Engine::Postgres, dir, here.database_url.clone(), here.kernel().clock.clone(), &often).await;
    let (one, two) = (desk.world.owner.clone(), there.caller(&desk.world.owner.secret));
    let mut facts: Vec<Fact> = Vec::new();
    for round in 0..12 {
        let mut new: Vec<_> = (round * 40..round * 40 + 40).map(Fact::new).collect();
        let answers = ingest(&desk, &desk.tenant, vec![new.iter().map(Fact::event).collect()]).await.unwrap();
        new.iter_mut().zip(&answers[0].statuses).for_each(|(fact, status)| fact.seq = status.seq);
        facts.extend(new);
        // each takes back and amends others of the same days, at once
        let stands: Vec<_> = facts.iter().filter(|f| f.standing).cloned().collect();
        let (mine, rest): (Vec<_>, Vec<_>) =
            stands.iter().enumerate().filter(|(n, _)| n % 6 < 2).partition(|(n, _)| n % 6 == 0);
        let voids = mine.iter().map(|(_, f)| seq(f.seq)).collect();
        let amends: Vec<_> = rest.iter().map(|(_, f)| amendment(seq(f.seq), "40")).collect();
        let (voided, amended) = tokio::join!(void(&one, voids, "x"), amend(&two, amends));
        voided.unwrap();
        let news = rest.iter().map(|(_, f)| Fact { tokens: 40, skills: 0, ..(*f).clone() }).collect();
        let added = placed(&one, &amended.unwrap().name, news).await;
        let gone: Vec<_> = mine.iter().chain(&rest).map(|(_, f)| f.seq).collect();
        facts.iter_mut().filter(|f| gone.contains(&f.seq)).for_each(|f| f.standing = false);
        facts.extend(added);
        let question = &questions()[round % questions().len()];
        question.holds("at once", &one, &facts).await;
        question.holds("at once, on the other", &two, &facts).await;
        here.kernel().clock.advance(Duration::from_secs(11));
    }
    rolled_up(here).await;
    for question in questions() {
        question.holds("rolled up", &two, &facts).await;
    }
    let tenant = store::tenant_list(&mut here.kernel().db.reader().await.unwrap()).await.unwrap()[0];
    let report = verify(here.kernel(), tenant).await.unwrap();
    assert!(report.agrees() && report.stale == 0, "{report:?}");
}
