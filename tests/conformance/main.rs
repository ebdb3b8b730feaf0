//! What the conformance suite needs of us: acts in a log, a sample of everything that we would export, and the log as the
//! crates `signed_note` and `tlog_tiles` see it.
//!
//! Acts are calls of a running server, many at a time; every one of them is answered, so every one is in the log:
//!
//! - `conformance create ADDRESS TOKEN_FILE FIRST COUNT` creates roles `c-FIRST`… in `tenants/acme`.
//! - `conformance change ADDRESS TOKEN_FILE COUNT` changes the names of the first of them.
//! - `conformance refuse ADDRESS TOKEN_FILE COUNT` asks for what the caller may not see.
//! - `conformance ocsf` prints OCSF events of every action that there is, those of the process itself too, one a line.
//! - `conformance peers DIRECTORY VKEY_FILE NOTES SEED` checks a mirrored directory, that it extends every checkpoint in NOTES,
//!   and that flipped bits are refused; all by the crates that others wrote.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool of the tests that cannot go on stops"
)]

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use audit::export::ocsf::sample_events;
use proto::{
    audit::v1::{self as pb, audit_service_client::AuditServiceClient},
    role::v1::{self as role, role_service_client::RoleServiceClient},
};
use tests::{site::Caller, world};
use tonic::{Code, transport::Channel};

mod peers;

/// Calls at the same time: as many as the server takes into one commit.
const AT_ONCE: usize = 64;

/// Bits that are flipped, each in a copy of its own.
const FLIPS: u32 = 500;

#[tokio::main]
async fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["create", address, token, first, count] => {
            create(&caller(address, token).await, first.parse().unwrap(), count.parse().unwrap()).await;
        }
        ["change", address, token, count] => {
            change(&caller(address, token).await, count.parse().unwrap()).await;
        }
        ["refuse", address, token, count] => {
            refuse(&caller(address, token).await, count.parse().unwrap()).await;
        }
        ["ocsf"] => print_ocsf(),
        ["peers", directory, key, notes, seed] => {
            check(Path::new(directory), Path::new(key), Path::new(notes), seed.parse().unwrap());
        }
        _ => panic!("see the first lines of tests/conformance/main.rs for the usage"),
    }
}

async fn caller(address: &str, token_file: &str) -> Caller {
    let secret = std::fs::read_to_string(token_file).unwrap().trim().to_owned();
    let channel = Channel::from_shared(address.to_owned()).unwrap().connect().await.unwrap();
    Caller { channel, secret }
}

/// Calls `act` with a caller, the number of the worker that does it, and `first` and the `count - 1` numbers after it.
async fn many<F>(
    by: &Caller,
    first: usize,
    count: usize,
    act: impl Fn(Caller, usize, usize) -> F + Copy + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(first));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|worker| {
            let (by, next) = (by.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= first + count {
                        break;
                    }
                    act(by.clone(), worker, n).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

async fn create(by: &Caller, first: usize, count: usize) {
    let act = |by: Caller, _, n| async move {
        world::create_role(&by, &format!("c-{n}"), &format!("Role {n}")).await.unwrap();
    };
    many(by, first, count, act).await;
}

/// Every worker has a role of its own, so that no change meets another.
async fn change(by: &Caller, count: usize) {
    let act = |by: Caller, worker, n| async move {
        let name = format!("tenants/acme/roles/c-{worker}");
        let role =
            role::Role { name, display_name: format!("Role {worker}, change {n}"), ..Default::default() };
        let request = role::UpdateRoleRequest { role: Some(role), ..Default::default() };
        RoleServiceClient::new(by.channel.clone()).update_role(by.ask(request)).await.unwrap();
    };
    many(by, 0, count, act).await;
}

async fn refuse(by: &Caller, count: usize) {
    let act = |by: Caller, _, n: usize| async move {
        let mut client = AuditServiceClient::new(by.channel.clone());
        let parent = world::ACME.to_owned();
        let refused = if n.is_multiple_of(2) {
            let request = pb::ListAuditEventsRequest { parent, ..Default::default() };
            client.list_audit_events(by.ask(request)).await.map(drop)
        } else {
            let request = pb::GetAuditLogRequest { name: format!("{parent}/auditLog") };
            client.get_audit_log(by.ask(request)).await.map(drop)
        };
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    };
    many(by, 0, count, act).await;
}

/// The files in a directory, by their paths in it.
fn files(directory: &Path) -> peers::Files {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    peers::Files(files)
}

/// Says what it checked, or what it found and fails.
fn check(directory: &Path, key: &Path, notes: &Path, seed: u64) {
    let key = std::fs::read_to_string(key).unwrap();
    let log = peers::Log::open(files(directory), key.trim()).expect("the key signed no such checkpoint");
    let leaves = log.leaves().unwrap();
    let mut earlier = Vec::new();
    for file in std::fs::read_dir(notes).unwrap() {
        let note = std::fs::read(file.unwrap().path()).unwrap();
        earlier.push(peers::opened(&note, key.trim()).expect("a note that the key did not sign"));
    }
    log.extends(&earlier).unwrap();
    log.refuses_flips(&leaves, FLIPS, seed).unwrap();
    println!(
        "{} entries, each under its leaf; {} checkpoints extended; {FLIPS} flipped bits refused",
        log.size(),
        earlier.len()
    );
}

fn print_ocsf() {
    let actions = server::app::actions().chain(server::app::own_actions());
    let mut out = std::io::stdout().lock();
    for event in sample_events(actions) {
        writeln!(out, "{event}").unwrap();
    }
}
