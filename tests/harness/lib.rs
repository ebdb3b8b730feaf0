//! What the end-to-end tests and the benches stand on: real servers on port 0, a real PostgreSQL, real callers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness that cannot go on stops the test"
)]

pub mod collector;
pub mod data;
pub mod dump;
pub mod golden;
pub mod http;
pub mod market;
pub mod own;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod sets;
pub mod site;
pub mod staff;
pub mod world;

/// The schema on a bare SQLite connection: for benches that write by hand. Without foreign keys, rows need no tenant.
pub async fn floor_schema(conn: &mut sqlx::SqliteConnection) {
    schema::migrate_sqlite(conn).await.unwrap();
    sqlx::query("PRAGMA foreign_keys = OFF").execute(conn).await.unwrap();
}

pub use site::{Engine, Site};
pub use world::World;

/// Runs one test body on both engines: `both_engines! { async fn name(site: Site) { … } }`.
#[macro_export]
macro_rules! both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($site:ident: Site) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[$meta])*
            async fn body($site: $crate::Site) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body($crate::Site::start($crate::Engine::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body($crate::Site::start($crate::Engine::Postgres).await).await;
            }
        }
    )*};
}
