//! Everything that a database holds, as text.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{Engine, Site, postgres};

impl Site {
    /// One line for every row of `tables` (none: of all), sorted. Binary values are in hex.
    pub async fn dump(&self, tables: &[&str]) -> String {
        let mut rows = match self.engine {
            Engine::Sqlite => self.dump_sqlite(tables).await,
            Engine::Postgres => {
                let (url, tables) =
                    (self.database_url.clone(), tables.iter().map(ToString::to_string).collect::<Vec<_>>());
                tokio::task::spawn_blocking(move || dump_postgres(&url, &tables)).await.unwrap()
            }
        };
        rows.sort();
        rows.join("\n")
    }

    async fn dump_sqlite(&self, tables: &[&str]) -> Vec<String> {
        let file = self.dir.path().join(kernel::db::SQLITE_FILE);
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
        let all = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
        let all: Vec<String> = sqlx::query_scalar(all).fetch_all(&mut conn).await.unwrap();
        let mut rows = Vec::new();
        for table in all.iter().filter(|t| tables.is_empty() || tables.contains(&t.as_str())) {
            let columns = format!(
                "SELECT group_concat('quote(' || name || ')', ' || '','' || ') FROM pragma_table_info('{table}')"
            );
            let columns: String =
                sqlx::query_scalar(AssertSqlSafe(columns)).fetch_one(&mut conn).await.unwrap();
            let text = format!("SELECT '{table}: ' || {columns} FROM {table}");
            rows.extend(
                sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).fetch_all(&mut conn).await.unwrap(),
            );
        }
        rows
    }
}

fn dump_postgres(url: &str, tables: &[String]) -> Vec<String> {
    let server = postgres::shared();
    let all = server.psql(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    let mut rows = Vec::new();
    for table in all.lines().filter(|t| tables.is_empty() || tables.iter().any(|n| n == t)) {
        let text = server.psql(url, &format!("SELECT '{table}: ' || t::text FROM {table} t"));
        rows.extend(text.lines().map(str::to_owned));
    }
    rows
}
