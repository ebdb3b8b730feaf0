//! Both engines have the same schema, and it can be sharded.

use std::{collections::BTreeMap, path::Path};

use kernel::db::{Conn, Db, Executor as _};
use tests::site::{config, fresh_postgres};

/// Table -> column -> (kind of value, nullable); the words are the same for both engines.
pub type Columns = BTreeMap<String, BTreeMap<String, (String, bool)>>;
/// Table -> sorted list of its unique keys and indexes, as column lists.
pub type Keys = BTreeMap<String, Vec<String>>;

pub async fn sqlite() -> (Columns, Keys) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&config(&[("server.data_dir", dir.path().display().to_string())])).await.unwrap();
    db.migrate().await.unwrap();
    let mut reader = db.reader().await.unwrap();
    let Conn::Sqlite(c) = reader.conn().await.unwrap() else { panic!("not SQLite") };
    let tables: Vec<(String,)> =
        sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'")
            .fetch_all(&mut *c)
            .await
            .unwrap();
    let (mut columns, mut keys) = (Columns::new(), Keys::new());
    for (table,) in tables {
        let info: Vec<(String, String, bool, i64)> =
            sqlx::query_as("SELECT name, type, \"notnull\", pk FROM pragma_table_info($1)")
                .bind(&table)
                .fetch_all(&mut *c)
                .await
                .unwrap();
        let of = columns.entry(table.clone()).or_default();
        for (name, kind, not_null, _) in &info {
            of.insert(name.clone(), (kind.to_lowercase(), !not_null));
        }
        let mut primary: Vec<_> = info.iter().filter(|(.., pk)| *pk > 0).collect();
        primary.sort_by_key(|(.., pk)| *pk);
        let mut found = vec![format!(
            "primary {}",
            primary.iter().map(|(n, ..)| n.as_str()).collect::<Vec<_>>().join(",")
        )];
        let indexes: Vec<(String, bool, String)> =
            sqlx::query_as("SELECT name, \"unique\", origin FROM pragma_index_list($1)")
                .bind(&table)
                .fetch_all(&mut *c)
                .await
                .unwrap();
        for (index, unique, origin) in indexes.into_iter().filter(|(_, _, origin)| origin != "pk") {
            let parts: Vec<(String,)> =
                sqlx::query_as("SELECT name FROM pragma_index_info($1) ORDER BY seqno")
                    .bind(&index)
                    .fetch_all(&mut *c)
                    .await
                    .unwrap();
            let parts: Vec<_> = parts.into_iter().map(|(p,)| p).collect();
            let kind = if unique || origin == "u" { "unique" } else { "index" };
            found.push(format!("{kind} {}", parts.join(",")));
        }
        found.sort();
        keys.insert(table, found);
    }
    (columns, keys)
}

async fn postgres() -> (Columns, Keys) {
    let db = Db::open(&config(&[("database.url", fresh_postgres().await)])).await.unwrap();
    let mut reader = db.reader().await.unwrap();
    let Conn::Postgres(c) = reader.conn().await.unwrap() else { panic!("not PostgreSQL") };
    let info: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(&mut *c)
    .await
    .unwrap();
    let (mut columns, mut keys) = (Columns::new(), Keys::new());
    for (table, column, kind, nullable) in info {
        // what SQLite calls the same thing
        let kind = match kind.as_str() {
            "bigint" | "boolean" => "integer",
            "uuid" | "bytea" => "blob",
            other => other,
        };
        columns.entry(table).or_default().insert(column, (kind.to_owned(), nullable == "YES"));
    }
    let indexes: Vec<(String, String, bool, bool)> = sqlx::query_as(
        "SELECT t.relname::text, string_agg(a.attname::text, ',' ORDER BY k.n), i.indisprimary, i.indisunique \
         FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace s ON s.oid = t.relnamespace \
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, n) \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum \
         WHERE s.nspname = 'public' AND t.relname NOT LIKE '\\_sqlx%' GROUP BY t.relname, i.indexrelid, i.indisprimary, i.indisunique",
    )
    .fetch_all(&mut *c)
    .await
    .unwrap();
    for (table, parts, primary, unique) in indexes {
        let kind = if primary {
            "primary"
        } else if unique {
            "unique"
        } else {
            "index"
        };
        keys.entry(table).or_default().push(format!("{kind} {parts}"));
    }
    for key in keys.values_mut() {
        key.sort();
    }
    (columns, keys)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_have_the_same_tables_columns_nullability_and_keys() {
    let ((sqlite_columns, sqlite_keys), (postgres_columns, postgres_keys)) =
        (sqlite().await, postgres().await);
    assert!(sqlite_columns.len() >= 20, "{:?}", sqlite_columns.keys());
    assert_eq!(sqlite_columns, postgres_columns);
    assert_eq!(sqlite_keys, postgres_keys);
}

/// What belongs to no tenant, partner or platform scope: it is shared by all, or names one of them itself.
const GLOBAL: [&str; 8] = [
    "deployment",
    "partner",
    "tenant",
    "api_token_key",
    "mirror_link_key",
    "marketplace",
    "plugin",
    "plugin_version",
];

#[tokio::test]
async fn a_tenants_rows_can_live_on_a_shard_of_their_own() {
    let (_, keys) = sqlite().await;
    for (table, keys) in keys.iter().filter(|(table, _)| !GLOBAL.contains(&table.as_str())) {
        for key in keys {
            let columns = key.split_once(' ').unwrap().1;
            let first = columns.split(',').next().unwrap();
            assert!(
                matches!(first, "tenant_id" | "scope_id"),
                "{table}: `{key}` does not begin with its tenant"
            );
        }
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("server.data_dir", dir.path().display().to_string())];
    let db = Db::open(&config(&settings)).await.unwrap();
    db.migrate().await.unwrap();
    db.close().await;
    drop(db);
    let file = dir.path().join(kernel::db::SQLITE_FILE);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut conn = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)")
        .execute(&mut conn)
        .await
        .unwrap();
    drop(conn);
    let error = server::app::open_database(&config(&settings)).await.err().unwrap().to_string();
    assert!(error.contains("9999") && error.contains("newer provostd"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_shared_database_must_be_migrated_on_purpose() {
    let url = fresh_postgres().await;
    tests::postgres::shared().psql(&url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    let settings = config(&[("database.url", url)]);
    let error = server::app::open_database(&settings).await.err().unwrap().to_string();
    assert!(error.contains("provostd migrate"), "{error}");
    Db::open(&settings).await.unwrap().migrate().await.unwrap();
    server::app::open_database(&settings).await.unwrap();
}

/// Statements that differ between the engines are the exception, and time is always a parameter.
#[test]
fn at_most_fifteen_statements_have_two_bodies_and_none_asks_the_engine_for_the_time() {
    let mut uses = 0;
    for file in sources(Path::new("../services")) {
        let text = std::fs::read_to_string(&file).unwrap();
        if !file.ends_with("kernel/src/db.rs") {
            uses += text.matches("sqlite |").count();
        }
        // an engine's clock in SQL would not be ours to move
        for banned in ["NOW()", "CURRENT_TIMESTAMP", "strftime(", "datetime("] {
            assert!(!text.contains(banned), "{}: `{banned}` in SQL", file.display());
        }
    }
    assert!(uses <= 15, "{uses} two-body statements");
}

/// Rust sources below a folder.
pub fn sources(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// Casbin has functions that panic, caches that are stale and writes that lose text: nothing but two wrappers knows it, and these
/// use none of them.
#[test]
fn casbin_is_known_to_its_two_wrappers_alone_and_nothing_of_it_is_used_that_traps() {
    let wrappers = ["services/kernel/src/authz/policy.rs", "services/entitlement/src/policy.rs"];
    let mut found = Vec::new();
    for file in sources(Path::new("../services")) {
        let path = file.display().to_string().replace("../", "");
        // what only tests hold the engine against
        if path.contains("/tests/") || path.ends_with("/tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        if text.contains("casbin::") {
            found.push(path.clone());
        }
        for trap in [
            "CachedEnforcer",
            "EnforceContext",
            "clear_policy",
            "remove_policy",
            "remove_filtered",
            "load_policy",
            "save_policy",
            "add_matching_fn",
            "set_role_manager",
            "SyncedEnforcer",
        ] {
            assert!(!text.contains(trap), "{path}: `{trap}`");
        }
    }
    found.sort();
    assert_eq!(found, wrappers.into_iter().rev().collect::<Vec<_>>());
    for model in ["admin.conf", "entitlements.conf"] {
        let text = std::fs::read_to_string(format!("../policies/{model}")).unwrap();
        let code: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for trap in
            ["keyMatch", "keyGet", "regexMatch", "globMatch", "ipMatch", "eval(", "p2 ", "m2 ", "r2 ", "e2 "]
        {
            assert!(!code.iter().any(|line| line.contains(trap)), "{model}: `{trap}`");
        }
    }
}
