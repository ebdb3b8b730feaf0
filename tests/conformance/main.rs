//! What the conformance suite needs of us: acts in a log, and a sample of everything that we would export.
//!
//! - `conformance fill ADDRESS TOKEN_FILE FIRST COUNT` creates roles `c-FIRST`… in `tenants/acme`, one call each, many at a time.
//! - `conformance ocsf` prints OCSF events of every action that there is, one a line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a tool of the tests that cannot go on stops"
)]

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use audit::export::ocsf::sample_events;
use tests::{site::Caller, world};
use tonic::transport::Channel;

/// Calls at the same time: as many as the server takes into one commit.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["fill", address, token, first, count] => {
            let secret = std::fs::read_to_string(token).unwrap().trim().to_owned();
            let channel = Channel::from_shared((*address).to_owned()).unwrap().connect().await.unwrap();
            fill(&Caller { channel, secret }, first.parse().unwrap(), count.parse().unwrap()).await;
        }
        ["ocsf"] => print_ocsf(),
        _ => panic!("usage: conformance fill ADDRESS TOKEN_FILE FIRST COUNT | conformance ocsf"),
    }
}

/// Creates roles; every one of them is answered, so every one of them is in the log.
async fn fill(by: &Caller, first: usize, count: usize) {
    let next = Arc::new(AtomicUsize::new(first));
    let callers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (by, next) = (by.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= first + count {
                        break;
                    }
                    world::create_role(&by, &format!("c-{n}"), &format!("Role {n}")).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

fn print_ocsf() {
    let actions: Vec<_> = server::app::actions().collect();
    let mut out = std::io::stdout().lock();
    for event in sample_events(actions) {
        writeln!(out, "{event}").unwrap();
    }
}
