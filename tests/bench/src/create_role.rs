//! An audited write, against the rows that the engine itself can commit.
//!
//! The floor inserts the same kind of row, each in a transaction of its own, with the same durability, and lets the engine
//! group the commits: PostgreSQL flushes its log once for all that commit together; SQLite has one writer, on which
//! waiting transactions (savepoints) share one commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::role::v1::{CreateRoleRequest, Role, role_service_client::RoleServiceClient};
use serde_json::Value;
use sqlx::{
    Connection as _, Executor as _, SqliteConnection,
    postgres::{PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tempfile::TempDir;
use tests::{Engine, Site, World, site::Caller, world::ACME};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    floor::{CONNECTIONS, channels},
    load::{self, Plan, Round},
};

/// Writers in flight.
const WRITERS: usize = 64;
const INSERT: &str = "INSERT INTO role (tenant_id, id, slug, display_name, description, revision, create_time, update_time) \
     VALUES ($1, $2, $3, 'Role', '', 1, $4, $4)";

/// Measures.
pub async fn run(engine: Engine, plan: Plan) -> Value {
    let connections = ("database.max_connections", "16".to_owned());
    let world = World::build(Site::start_with(engine, &[connections]).await).await;
    let channels = channels(&world.site.running.url()).await;
    let floor = Floor::start(engine).await;
    let next = Arc::new(AtomicUsize::new(0));
    let (mut subject, mut floors) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let length = Duration::from_millis(if round == 0 { 500 } else { plan.seconds * 1_000 });
        let measured = load::round(WRITERS, length, |n| {
            let by =
                Caller { channel: channels[n % CONNECTIONS].clone(), secret: world.owner.secret.clone() };
            let (client, next) = (RoleServiceClient::new(by.channel.clone()), Arc::clone(&next));
            move |_| {
                let role = Role { display_name: "Role".to_owned(), ..Default::default() };
                let request = by.ask(CreateRoleRequest {
                    parent: ACME.to_owned(),
                    role_id: format!("r-{}", next.fetch_add(1, Ordering::Relaxed)),
                    role: Some(role),
                    ..Default::default()
                });
                let mut client = client.clone();
                async move {
                    client.create_role(request).await.unwrap();
                }
            }
        })
        .await;
        let beside = floor.round(length).await;
        if round > 0 {
            subject.push(measured);
            floors.push(beside);
        }
    }
    load::figures(subject, floors)
}

/// What the engine can do by itself.
enum Floor {
    Sqlite { queue: mpsc::Sender<oneshot::Sender<()>>, _dir: TempDir },
    Postgres { pool: PgPool },
}

impl Floor {
    async fn start(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let options = SqliteConnectOptions::new()
                    .filename(dir.path().join("floor.db"))
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
                tests::floor_schema(&mut conn).await;
                let (queue, waiting) = mpsc::channel(WRITERS);
                tokio::spawn(write(conn, waiting));
                Self::Sqlite { queue, _dir: dir }
            }
            Engine::Postgres => {
                let url = tests::site::fresh_postgres().await;
                Self::Postgres {
                    pool: PgPoolOptions::new()
                        .max_connections(16)
                        .test_before_acquire(false)
                        .connect(&url)
                        .await
                        .unwrap(),
                }
            }
        }
    }

    async fn round(&self, length: Duration) -> Round {
        match self {
            Self::Sqlite { queue, .. } => {
                load::round(WRITERS, length, |_| {
                    let queue = queue.clone();
                    move |_| {
                        let queue = queue.clone();
                        async move {
                            let (done, committed) = oneshot::channel();
                            queue.send(done).await.unwrap();
                            committed.await.unwrap();
                        }
                    }
                })
                .await
            }
            Self::Postgres { pool } => {
                load::round(WRITERS, length, |_| {
                    let pool = pool.clone();
                    move |_| {
                        let pool = pool.clone();
                        async move {
                            let id = fresh();
                            sqlx::query(INSERT)
                                .bind(Uuid::nil())
                                .bind(id)
                                .bind(id.to_string())
                                .bind(1_i64)
                                .execute(&pool)
                                .await
                                .unwrap();
                        }
                    }
                })
                .await
            }
        }
    }
}

/// One writer: a savepoint for each waiting row, a commit for all of them.
async fn write(mut conn: SqliteConnection, mut waiting: mpsc::Receiver<oneshot::Sender<()>>) {
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, WRITERS).await > 0 {
        conn.execute("BEGIN IMMEDIATE").await.unwrap();
        for _ in &group {
            let id = fresh();
            conn.execute("SAVEPOINT turn").await.unwrap();
            let row = sqlx::query(INSERT).bind(Uuid::nil()).bind(id).bind(id.to_string()).bind(1_i64);
            row.execute(&mut conn).await.unwrap();
            conn.execute("RELEASE turn").await.unwrap();
        }
        conn.execute("COMMIT").await.unwrap();
        for done in group.drain(..) {
            let _ = done.send(());
        }
    }
}

fn fresh() -> Uuid {
    static IDS: std::sync::LazyLock<kernel::ids::Ids> = std::sync::LazyLock::new(kernel::ids::Ids::default);
    IDS.new_id(kernel::clock::Clock::System.now())
}
