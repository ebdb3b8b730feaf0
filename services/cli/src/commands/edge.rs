//! `provost edge`: follows a tenant's signed rules and answers AuthZEN on this machine, also while nobody can be reached.

mod follow;
mod local;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use edge::{Disk, Replica};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use self::{
    follow::Follow,
    local::{Local, Shared},
};
use super::audit::keys;
use crate::{
    ambient,
    app::App,
    error::{Error, Exit, Result},
};

/// What to follow, and where to answer.
#[derive(Args, Debug)]
#[command(after_help = "\
Routes: POST /access/v1/evaluation, /access/v1/evaluations, /access/v1/search/{subject,resource,action};
GET /.well-known/authzen-configuration, /healthz (503 while every answer is no), /metrics.

The keys are those of `provost decision keys`, fetched over a connection that you trust.")]
pub struct Edge {
    /// Which tenant
    #[arg(value_name = "TENANT")]
    parent: Option<String>,
    /// Key that signs its rules, or a file of keys; repeatable
    #[arg(long, value_name = "KEY_OR_FILE", required = true)]
    vkey: Vec<String>,
    /// Directory that keeps the rules as they were signed; without it a restart begins with a no to everything
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where to answer: an address of this machine, to which only it can connect; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7444")]
    listen: SocketAddr,
    /// How old the rules may be that are decided by; the server can set less
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    max_staleness: u64,
}

/// Follows and answers until SIGTERM or Ctrl-C.
pub async fn run(args: Edge, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(args.parent.as_deref())?;
    let tenant = parent.trim_start_matches("tenants/").to_owned();
    let keys = keys::given(&args.vkey)?;
    if !args.listen.ip().is_loopback() {
        return Err(Error::Usage(format!(
            "--listen {}: an edge asks nobody for a token, so it answers on this machine only; choose 127.0.0.1 or [::1]",
            args.listen
        )));
    }
    let bound = Duration::from_secs(args.max_staleness);
    let (mut disk, mut replica) = (None, Replica::new(bound));
    if let Some(dir) = &args.state {
        let local = |error: edge::DiskError| Error::Local(error.to_string());
        let mut kept = Disk::open(dir).map_err(local)?;
        match kept.load(&keys, &tenant, bound) {
            Ok(found) => replica = found,
            // what is not good is not decided by; the stream brings it anew
            Err(error @ edge::DiskError::Refused(..)) => app.console.note(&format!("NOT VERIFIED: {error}")),
            Err(error) => return Err(local(error)),
        }
        disk = Some(kept);
    }
    // whoever asks it to stop the moment it says that it answers is heard
    let mut asked = Asked::listen().map_err(|e| Error::Local(e.to_string()))?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|e| Error::Local(format!("cannot listen on {}: {e}", args.listen)))?;
    let address = listener.local_addr().map_err(|e| Error::Local(e.to_string()))?;
    let shared = Arc::new(Shared::new(tenant, replica));
    if let Some((_, at)) = shared.position() {
        let fresh = if shared.policy(now()).is_some() { "" } else { ", which is too old to decide by" };
        app.console.note(&format!("booted at revision {}.{}{fresh}", at.tenant, at.catalog));
    }
    let (stop, stopping) = watch::channel(false);
    let server = axum::serve(listener, local::routes(Arc::new(Local(Arc::clone(&shared)))));
    let server = tokio::spawn(server.with_graceful_shutdown(stopped(stopping)).into_future());
    app.console.print(&format!("provost edge answers on http://{address} for {parent}\n"))?;
    let follow = Follow { client: app.client()?, parent, keys, shared, disk, anew: false };
    let outcome = tokio::select! {
        () = asked.to_stop() => Ok(Exit::OK),
        failed = follow.run(app.console) => Err(failed),
    };
    let _ = stop.send(true);
    let _ = tokio::time::timeout(GRACE, server).await;
    outcome
}

/// Longest wait for answers in flight.
const GRACE: Duration = Duration::from_secs(5);

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // a sender that is gone has stopped too
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// SIGTERM and Ctrl-C, caught from here on.
struct Asked {
    term: Signal,
    int: Signal,
}

impl Asked {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Returns when the process was asked to stop.
    async fn to_stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Microseconds since 1970.
fn now() -> i64 {
    ambient::now().as_microsecond()
}
