//! One running server with its database, and callers of it.

use std::{sync::Arc, time::Duration};

use kernel::{
    Kernel,
    clock::{Clock, Time},
    config::{Config, Layers},
    db::Db,
    telemetry::Telemetry,
};
use server::{DEFAULT_CONFIG, app};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::{Request, transport::Channel};

use crate::postgres;

/// Which engine a site runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded.
    Sqlite,
    /// Shared.
    Postgres,
}

impl Engine {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

/// When a site's clock stands at its start: close to the captures in the data, and never moving by itself.
pub const START: &str = "2026-11-23T12:00:00Z";

/// A running server.
pub struct Site {
    /// Which engine.
    pub engine: Engine,
    /// The server.
    pub running: app::Running,
    /// A connection to it.
    pub channel: Channel,
    /// Its database, when it is PostgreSQL.
    pub database_url: String,
    /// Its data directory.
    pub dir: Arc<TempDir>,
    /// The administrator's token, once [`Site::admin`] was called.
    admin: OnceCell<String>,
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    /// The connection.
    pub channel: Channel,
    /// The token; empty for nobody.
    pub secret: String,
}

impl Caller {
    /// A request with the caller's credential.
    pub fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.secret.is_empty() {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {}", self.secret).parse().unwrap());
        }
        request
    }
}

/// The default configuration with some keys changed.
pub fn config(overrides: &[(&str, String)]) -> Config {
    let base = [
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.shutdown_grace_seconds", "5".to_owned()),
        // every decision is made a second time by casbin
        ("decision.shadow_one_in", "1".to_owned()),
    ];
    let all: Vec<_> = base.into_iter().chain(overrides.iter().cloned()).collect();
    Layers::new(DEFAULT_CONFIG, None, &all).unwrap().config().unwrap()
}

/// URL of a fresh, migrated PostgreSQL database.
pub async fn fresh_postgres() -> String {
    static MIGRATED: OnceCell<()> = OnceCell::const_new();
    let server = tokio::task::spawn_blocking(postgres::shared).await.unwrap();
    MIGRATED
        .get_or_init(|| async {
            let db = Db::open(&config(&[("database.url", server.template_url())])).await.unwrap();
            db.migrate().await.unwrap();
            db.close().await;
        })
        .await;
    tokio::task::spawn_blocking(|| server.fresh()).await.unwrap()
}

impl Site {
    /// Starts a server on a fresh database, its clock standing at [`START`].
    pub async fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[]).await
    }

    /// The same with some settings changed.
    pub async fn start_with(engine: Engine, overrides: &[(&str, String)]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let database_url = match engine {
            Engine::Sqlite => String::new(),
            Engine::Postgres => fresh_postgres().await,
        };
        let clock = Clock::manual(Time::parse("start", START).unwrap());
        Self::on(engine, dir, database_url, clock, overrides).await
    }

    /// Starts a server on a database that is there.
    pub async fn on(
        engine: Engine,
        dir: Arc<TempDir>,
        database_url: String,
        clock: Clock,
        overrides: &[(&str, String)],
    ) -> Self {
        let mut settings = vec![
            ("server.data_dir", dir.path().display().to_string()),
            ("database.url", database_url.clone()),
            ("database.max_connections", "8".to_owned()),
        ];
        settings.extend(overrides.iter().cloned());
        let start = async || {
            let telemetry = Arc::new(Telemetry::quiet().unwrap());
            app::start(config(&settings), clock.clone(), telemetry).await
        };
        // what a server in this process did last may hold its database a moment longer than its stop takes
        let free = async {
            loop {
                match start().await {
                    Err(error) if error.to_string().contains("another provostd uses") => {
                        tokio::task::yield_now().await;
                    }
                    other => return other.unwrap(),
                }
            }
        };
        let running = tokio::time::timeout(Duration::from_secs(20), free).await.unwrap();
        let channel = Channel::from_shared(running.url()).unwrap().connect().await.unwrap();
        Self { engine, running, channel, database_url, dir, admin: OnceCell::new() }
    }

    /// What the server is made of.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.running.kernel
    }

    /// A caller with a token.
    pub fn caller(&self, secret: &str) -> Caller {
        Caller { channel: self.channel.clone(), secret: secret.to_owned() }
    }

    /// A caller without one.
    pub fn nobody(&self) -> Caller {
        self.caller("")
    }

    /// The first administrator, made through the bootstrap at the first call.
    pub async fn admin(&self) -> Caller {
        let secret = self.admin.get_or_init(|| async {
            let bootstrap =
                access::token::bootstrap::ensure(self.kernel()).await.unwrap().expect("a fresh deployment");
            let request = proto::token::v1::BootstrapRequest {
                principal_id: "root".to_owned(),
                display_name: "Root".to_owned(),
                email: String::new(),
            };
            let caller = self.caller(&bootstrap.text);
            let mut client =
                proto::token::v1::token_service_client::TokenServiceClient::new(self.channel.clone());
            client.bootstrap(caller.ask(request)).await.unwrap().into_inner().secret
        });
        self.caller(secret.await)
    }

    /// Moves the clock.
    pub fn advance(&self, by: Duration) {
        self.kernel().clock.advance(by);
    }

    /// Stops the server and hands back what a next one can start on.
    pub async fn stop(self) -> (Engine, Arc<TempDir>, String, Clock) {
        let clock = self.kernel().clock.clone();
        drop(self.channel);
        self.running.stop().await;
        (self.engine, self.dir, self.database_url, clock)
    }
}
