//! What the engine can do by itself: the same rows, the same unique key, by hand.

use std::time::{Duration, Instant};

use metering::event::key::Digest;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tests::Engine;
use uuid::Uuid;

/// Events in a transaction: what a busy server puts into one.
const BATCH: usize = 4_000;
/// Rows in a statement of SQLite.
const ROWS: usize = 64;
/// What an event that is sent has; the other columns are of corrections.
const COLUMNS: &str = "tenant_id, seq, dedupe_key, payload_key, source, event_id, event_type, client, principal_id, role_id, unit_id, \
     time, ingest_time, dims, amounts, attributes";

struct Row {
    seq: i64,
    key: [u8; 16],
    payload: [u8; 16],
    id: String,
    principal: Uuid,
    time: i64,
    dims: String,
    amounts: String,
}

/// Rows a second that one connection commits, each batch in a transaction.
pub async fn run(engine: Engine, length: Duration) -> f64 {
    let (send, mut batches) = tokio::sync::mpsc::channel(4);
    // made on the other core, as the server does
    std::thread::spawn(move || {
        let mut from = 0;
        while send.blocking_send((from..from + BATCH as u64).map(row).collect::<Vec<_>>()).is_ok() {
            from += BATCH as u64;
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let mut stored = 0;
    let begun;
    match engine {
        Engine::Sqlite => {
            let options = SqliteConnectOptions::new()
                .filename(dir.path().join("floor.db"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("secure_delete", "ON")
                .pragma("cache_size", "-32768");
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            tests::floor_schema(&mut conn).await;
            begun = Instant::now();
            while begun.elapsed() < length {
                sqlite(&mut conn, &batches.recv().await.unwrap()).await;
                stored += BATCH;
            }
        }
        Engine::Postgres => {
            let mut conn = PgConnection::connect(&tests::site::fresh_postgres().await).await.unwrap();
            begun = Instant::now();
            while begun.elapsed() < length {
                postgres(&mut conn, &batches.recv().await.unwrap()).await;
                stored += BATCH;
            }
        }
    }
    stored as f64 / begun.elapsed().as_secs_f64()
}

fn row(n: u64) -> Row {
    let event = super::event(9, n, super::start());
    let digest = |parts: &[&[u8]]| <[u8; 16]>::try_from(Digest::of(parts).as_bytes()).unwrap();
    Row {
        seq: i64::try_from(n).unwrap() + 1,
        key: digest(&[event.source.as_bytes(), event.id.as_bytes()]),
        payload: digest(&[event.id.as_bytes()]),
        principal: Uuid::from_u128(u128::from(n % super::PEOPLE)),
        time: i64::try_from(super::start().as_micros()).unwrap(),
        dims: format!("{{\"model\":\"{}\",\"plugin\":\"{}\"}}", event.dims[0].value, event.dims[1].value),
        amounts: format!(
            "{{\"tokens.input\":{},\"tokens.output\":{}}}",
            event.values[0].value, event.values[1].value
        ),
        id: event.id,
    }
}

async fn sqlite(conn: &mut SqliteConnection, rows: &[Row]) {
    conn.execute("BEGIN IMMEDIATE").await.unwrap();
    for part in rows.chunks(ROWS) {
        let marks = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; part.len()].join(", ");
        let text = format!(
            "INSERT INTO usage_event ({COLUMNS}) VALUES {marks} ON CONFLICT (tenant_id, dedupe_key) DO NOTHING"
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for row in part {
            query = query
                .bind(Uuid::nil())
                .bind(row.seq)
                .bind(&row.key[..])
                .bind(&row.payload[..])
                .bind("gateway/eu-1")
                .bind(&row.id)
                .bind("gateway.request")
                .bind("codex")
                .bind(row.principal)
                .bind(None::<Uuid>)
                .bind(row.principal)
                .bind(row.time)
                .bind(row.time)
                .bind(&row.dims)
                .bind(&row.amounts)
                .bind("");
        }
        query.execute(&mut *conn).await.unwrap();
    }
    conn.execute("COMMIT").await.unwrap();
}

async fn postgres(conn: &mut PgConnection, rows: &[Row]) {
    let text = format!(
        "INSERT INTO usage_event ({COLUMNS}) SELECT $1, e.seq, e.key, e.payload, 'gateway/eu-1', e.id, 'gateway.request', 'codex', e.principal, \
         NULL, e.principal, e.time, e.time, e.dims, e.amounts, '' FROM UNNEST($2::BIGINT[], $3::BYTEA[], $4::BYTEA[], $5::TEXT[], \
         $6::UUID[], $7::BIGINT[], $8::TEXT[], $9::TEXT[]) AS e (seq, key, payload, id, principal, time, dims, amounts) \
         ON CONFLICT (tenant_id, dedupe_key) DO NOTHING"
    );
    macro_rules! column {
        (|$row:ident| $value:expr) => {
            rows.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(AssertSqlSafe(text))
        .bind(Uuid::nil())
        .bind(column!(|r| r.seq))
        .bind(column!(|r| &r.key[..]))
        .bind(column!(|r| &r.payload[..]))
        .bind(column!(|r| r.id.as_str()))
        .bind(column!(|r| r.principal))
        .bind(column!(|r| r.time))
        .bind(column!(|r| r.dims.as_str()))
        .bind(column!(|r| r.amounts.as_str()))
        .execute(conn)
        .await
        .unwrap();
}
