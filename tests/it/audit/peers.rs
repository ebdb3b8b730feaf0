//! A log of ours, read by the crates `tlog_tiles` and `signed_note`, which others wrote. The conformance suite does the same
//! with one of 70,000 entries.

use tests::{Engine, Site, World, world};

use super::mirror::{Reader, roles};
use crate::peers::{Files, Log, opened};

/// Entries of the log, at least.
const ENTRIES: usize = 3_000;
/// Bits that are flipped.
const FLIPS: u32 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_accept_the_log_and_refuse_every_flipped_bit() {
    let world = World::build(Site::start(Engine::Sqlite).await).await;
    let reader = Reader::of(&world.site, &world.owner, world::ACME);
    let vkey = String::from_utf8(reader.take("vkey").await).unwrap().trim().to_owned();
    let mut heads = Vec::new();
    for n in 0..3 {
        roles(&world.owner, &format!("p-{n}"), ENTRIES / 3).await;
        heads.push(opened(&reader.take("checkpoint").await, &vkey).unwrap());
    }
    let (files, _) = reader.mirror().await;
    let log = Log::open(Files(files), &vkey).unwrap();
    assert!(log.size() >= ENTRIES as u64, "{}", log.size());
    let leaves = log.leaves().unwrap();
    log.extends(&heads).unwrap();
    log.refuses_flips(&leaves, FLIPS, 7).unwrap();
}
