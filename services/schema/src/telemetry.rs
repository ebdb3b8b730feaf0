//! What assistants call a plugin where they keep its name to themselves. It is here because a migration has to work it out of
//! what is in the catalogue already, and SQLite has no SHA-256.

use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, SqliteConnection};

/// What the vendor mixes in.
const SALT: &str = "claude-plugin-telemetry-v1";
/// Hex digits of it that telemetry has.
const DIGITS: usize = 16;

/// The first 16 hex digits of SHA-256 over `<plugin>@<marketplace>`, the marketplace in lower case, and the vendor's salt.
pub fn telemetry_hash(plugin: &str, marketplace: &str) -> String {
    let digest = Sha256::digest(format!("{plugin}@{}{SALT}", marketplace.to_lowercase()));
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).take(DIGITS).collect()
}

const FIND: &str = "SELECT m.slug, p.slug FROM plugin p JOIN marketplace m ON m.id = p.marketplace_id \
     WHERE p.telemetry_hash = ''";
const FILL: &str = "UPDATE plugin SET telemetry_hash = $1 WHERE slug = $2 AND telemetry_hash = '' \
     AND marketplace_id = (SELECT m.id FROM marketplace m WHERE m.slug = $3)";

/// For the plugins that were there before the column was.
pub async fn fill_sqlite(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let missing: Vec<(String, String)> = sqlx::query_as(FIND).fetch_all(&mut *conn).await?;
    for (marketplace, plugin) in missing {
        let hash = telemetry_hash(&plugin, &marketplace);
        sqlx::query(FILL).bind(hash).bind(plugin).bind(marketplace).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Likewise.
pub async fn fill_postgres(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let missing: Vec<(String, String)> = sqlx::query_as(FIND).fetch_all(&mut *conn).await?;
    for (marketplace, plugin) in missing {
        let hash = telemetry_hash(&plugin, &marketplace);
        sqlx::query(FILL).bind(hash).bind(plugin).bind(marketplace).execute(&mut *conn).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::telemetry_hash;

    #[test]
    fn the_hash_is_the_one_that_the_vendors_client_sends() {
        // as captured, once with details and once without
        assert_eq!(telemetry_hash("sales-kit", "acme-client-catalog"), "d997de49227db427");
        assert_eq!(telemetry_hash("sales-kit", "ACME-client-catalog"), "d997de49227db427");
        assert_eq!(telemetry_hash("cc-plugin-agents-md", "builtin"), "da63145d0acbb62d");
        assert_ne!(telemetry_hash("Sales-kit", "acme-client-catalog"), "d997de49227db427");
    }
}
