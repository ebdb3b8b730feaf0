//! API tokens: form, checksum, and from a secret to the caller behind it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    authz::{Action, Class, Duty, DutySet},
    clock::Time,
    config::Config,
    db::{Db, Executor},
    error::{Credential, Error, Result},
    execute, hash,
    ids::{PrincipalId, Slug, TokenId},
    on,
    scope::{Scope, ScopeKind},
};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 30;
const CHECK_CHARS: usize = 6;
/// `last_used_time` is written at most once in this time.
const LAST_USED_EVERY: std::time::Duration = std::time::Duration::from_mins(1);

/// What a token is for; the third part of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A person's own.
    Personal,
    /// A service's.
    Service,
    /// Telemetry only.
    Ingest,
    /// Creates the first administrator.
    Bootstrap,
}

impl TokenKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Personal, Self::Service, Self::Ingest, Self::Bootstrap];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Service => "service",
            Self::Ingest => "ingest",
            Self::Bootstrap => "bootstrap",
        }
    }

    /// From its stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Personal => "pat",
            Self::Service => "svc",
            Self::Ingest => "ingest",
            Self::Bootstrap => "boot",
        }
    }
}

/// A new secret and what is kept of it.
pub struct Secret {
    /// `pv_<kind>_<30 base62>_<6 base62 CRC-32>`; shown once.
    pub text: String,
    /// SHA-256 of the text; all that is stored.
    pub digest: [u8; 32],
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// Makes one from the system's randomness: 30 base62 characters are 178 bits.
    pub fn generate(kind: TokenKind) -> Result<Self> {
        let body = format!("pv_{}_{}", kind.prefix(), random_base62(RANDOM_CHARS)?);
        let text = format!("{body}_{}", checksum(&body));
        Ok(Self { digest: hash::sha256(text.as_bytes()), text })
    }
}

/// So many base62 characters from the system's randomness, 5.95 bits each.
pub fn random_base62(chars: usize) -> Result<String> {
    let mut random = String::with_capacity(chars);
    while random.len() < chars {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        // 248 is the largest multiple of 62 in a byte: taking more would favour the first letters
        let fair = bytes.iter().filter(|b| **b < 248).map(|b| char::from(digit(u32::from(*b))));
        random.extend(fair.take(chars - random.len()));
    }
    Ok(random)
}

fn digit(n: u32) -> u8 {
    BASE62.get((n % 62) as usize).copied().unwrap_or(b'0')
}

fn checksum(body: &str) -> String {
    let mut crc = crc32fast::hash(body.as_bytes());
    let mut chars = [0_u8; CHECK_CHARS];
    for c in chars.iter_mut().rev() {
        *c = digit(crc);
        crc /= 62;
    }
    chars.iter().map(|c| char::from(*c)).collect()
}

/// Checks a secret's form and checksum without asking anybody; returns its digest.
pub fn digest_of(text: &str) -> Result<[u8; 32]> {
    let malformed = Error::Unauthenticated(Credential::Malformed);
    let mut parts = text.split('_');
    let (Some("pv"), Some(kind), Some(random), Some(check), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    let known = TokenKind::ALL.iter().any(|k| k.prefix() == kind);
    let body = text.get(..text.len() - check.len() - 1).unwrap_or_default();
    if known && random.len() == RANDOM_CHARS && checksum(body) == check {
        Ok(hash::sha256(text.as_bytes()))
    } else {
        Err(malformed)
    }
}

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Everything its principal may.
    All,
    /// Reading.
    Read,
    /// Decisions.
    Decide,
    /// Telemetry.
    Ingest,
}

impl TokenScope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::All, Self::Read, Self::Decide, Self::Ingest];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Read => "read",
            Self::Decide => "decide",
            Self::Ingest => "ingest",
        }
    }

    /// From the stored list, words separated by spaces.
    pub fn parse_list(text: &str) -> Vec<Self> {
        text.split(' ').filter_map(|w| Self::ALL.into_iter().find(|s| s.as_str() == w)).collect()
    }

    fn covers(self, class: Class) -> bool {
        match self {
            Self::All => class != Class::Ingest,
            Self::Read => class == Class::Read,
            Self::Decide => class == Class::Decide,
            Self::Ingest => class == Class::Ingest,
        }
    }
}

/// Who acted, as the audit record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `user`, `service`, `agent`, `token` (a token without a principal), `link` (a mirror link) or `system`.
    pub kind: &'static str,
    /// Identity of the principal, token or link.
    pub id: Uuid,
    /// Resource name.
    pub name: String,
    /// Identity of the scope that it comes from.
    pub home: Uuid,
    /// Resource name of the person for whom an agent acts.
    pub owner: Option<String>,
}

/// A principal, as far as authentication knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerPrincipal {
    /// Identity.
    pub id: PrincipalId,
    /// Last segment of the name.
    pub slug: Slug,
    /// `user`, `service` or `agent`.
    pub kind: String,
    /// For an agent: last segment of the name of the person for whom it acts.
    pub owner: Option<Slug>,
}

/// What a caller shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearer {
    /// A token, by the digest of its secret.
    Token([u8; 32]),
    /// The secret path of a mirror link.
    Link,
    /// Nothing: it is the process itself.
    System,
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token used, or the mirror link; nil for the system itself.
    pub token: TokenId,
    /// Its kind.
    pub kind: TokenKind,
    /// Its scopes.
    pub scopes: Vec<TokenScope>,
    /// When it ends.
    pub expire_time: Time,
    /// Where its principal lives.
    pub home: Scope,
    /// Its principal; none for a bootstrap token and for a tenant's ingest token.
    pub principal: Option<CallerPrincipal>,
    /// The principal's duties, all in `home`.
    pub duties: DutySet,
    bearer: Bearer,
}

impl Caller {
    /// The process itself: at first start and in scheduled work. Cannot be reached with any credential.
    pub(crate) fn system() -> Self {
        Self {
            token: TokenId(Uuid::nil()),
            kind: TokenKind::Service,
            scopes: vec![TokenScope::All],
            expire_time: Time::from_micros(i64::MAX),
            home: Scope::Platform,
            principal: None,
            duties: DutySet::default().with(Duty::PlatformAdmin),
            bearer: Bearer::System,
        }
    }

    /// Whoever knows the path of a mirror link of `home`: holds no duty, and may read what the policy says of one's own link.
    pub(crate) fn link(id: Uuid, home: Scope, expire_time: Time) -> Self {
        Self {
            token: TokenId(id),
            kind: TokenKind::Service,
            scopes: vec![TokenScope::Read],
            expire_time,
            home,
            principal: None,
            duties: DutySet::default(),
            bearer: Bearer::Link,
        }
    }

    /// As the audit record names it.
    pub fn actor(&self) -> Actor {
        let home = self.home.id();
        match (&self.principal, self.bearer) {
            (Some(p), _) => {
                let kind = match p.kind.as_str() {
                    "service" => "service",
                    "agent" => "agent",
                    _ => "user",
                };
                let name = |slug| self.home.child("principals", slug);
                Actor { kind, id: p.id.0, name: name(&p.slug), home, owner: p.owner.as_ref().map(name) }
            }
            (None, Bearer::System) => {
                Actor { kind: "system", id: Uuid::nil(), name: "system".to_owned(), home, owner: None }
            }
            (None, Bearer::Link) => Actor {
                kind: "link",
                id: self.token.0,
                name: self.home.child("mirrorLinks", self.token),
                home,
                owner: None,
            },
            (None, Bearer::Token(_)) => Actor {
                kind: "token",
                id: self.token.0,
                name: self.home.child("tokens", self.token),
                home,
                owner: None,
            },
        }
    }

    /// The duties that count in `scope`: platform duties everywhere, a partner's in the partner and in its clients, a
    /// tenant's in the tenant.
    pub fn duties_in(&self, scope: &Scope) -> DutySet {
        let counts = match (&self.home, scope) {
            (Scope::Platform, _) => true,
            (Scope::Partner(home), Scope::Partner(there)) => home.id == there.id,
            (Scope::Partner(home), Scope::Tenant(there)) => home.id == there.partner.id,
            (Scope::Tenant(home), Scope::Tenant(there)) => home.id == there.id,
            _ => false,
        };
        if counts { self.duties } else { DutySet::default() }
    }

    /// Whether the caller may know that `scope` exists.
    pub fn sees(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Platform => true,
            other => other.id() == self.home.id() || !self.duties_in(other).is_empty(),
        }
    }

    /// Whether the token may be used for the action; a bootstrap token for nothing but the bootstrap.
    pub fn covers(&self, action: &Action) -> bool {
        if self.kind == TokenKind::Bootstrap {
            return action.noun == "bootstrap";
        }
        self.scopes.iter().any(|s| s.covers(action.class))
    }
}

/// Checks tokens, remembering good ones for a moment.
pub struct Authenticator {
    known: Cache<[u8; 32], (Instant, u64, Arc<Caller>)>,
    /// Advanced by every commit in this process that touches credentials, principals or duties.
    epoch: AtomicU64,
    trust: std::time::Duration,
}

/// Tokens remembered.
const KNOWN: usize = 100_000;
/// Changes to these end what is remembered.
const TOUCHING: [&str; 6] = ["bootstrap", "token", "duty", "principal", "partner", "tenant"];

impl Authenticator {
    /// With the trust that the configuration gives.
    pub fn new(config: &Config) -> Self {
        Self { known: Cache::new(KNOWN), epoch: AtomicU64::new(0), trust: config.token_cache() }
    }

    /// Forgets everything if `noun` is something a caller is made of.
    pub(crate) fn touched(&self, noun: &str) {
        if noun.split('/').next().is_some_and(|n| TOUCHING.contains(&n)) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The caller behind an `authorization` header.
    pub async fn caller(&self, db: &Db, header: Option<&str>, now: Time) -> Result<Arc<Caller>> {
        let header = header.ok_or(Error::Unauthenticated(Credential::Missing))?;
        let secret = header
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim())
            .ok_or(Error::Unauthenticated(Credential::Malformed))?;
        let digest = digest_of(secret)?;
        let epoch = self.epoch.load(Ordering::SeqCst);
        if let Some((since, seen, caller)) = self.known.get(&digest)
            && seen == epoch
            && since.elapsed() < self.trust
        {
            return unexpired(caller, now);
        }
        // beside: what is asked of the database takes no room in the calls whose token is remembered
        Box::pin(self.found(db, digest, epoch, now)).await
    }

    /// The caller as the database has it, remembered from now on.
    async fn found(&self, db: &Db, digest: [u8; 32], epoch: u64, now: Time) -> Result<Arc<Caller>> {
        let (caller, last_used) = load(&mut db.reader().await?, &digest).await?;
        let caller = unexpired(Arc::new(caller), now)?;
        self.known.insert(digest, (Instant::now(), epoch, Arc::clone(&caller)));
        if last_used.is_none_or(|t| t.plus(LAST_USED_EVERY) < now) {
            note_use(db, &caller, now);
        }
        Ok(caller)
    }

    /// The caller as it is now: for calls that outlive what may change about a token, its principal and its duties.
    pub async fn again(&self, db: &Db, caller: &Caller, now: Time) -> Result<Arc<Caller>> {
        let caller = match &caller.bearer {
            Bearer::Token(digest) => load(&mut db.reader().await?, digest).await?.0,
            Bearer::Link | Bearer::System => caller.clone(),
        };
        unexpired(Arc::new(caller), now)
    }
}

fn unexpired(caller: Arc<Caller>, now: Time) -> Result<Arc<Caller>> {
    if now < caller.expire_time { Ok(caller) } else { Err(Error::Unauthenticated(Credential::Expired)) }
}

/// Writes `last_used_time` beside the request. It is a sample, not state: losing one loses nothing.
fn note_use(db: &Db, caller: &Caller, now: Time) {
    let (db, scope, token) = (db.clone(), caller.home.id(), caller.token);
    tokio::spawn(async move {
        let outcome = async {
            let mut tx = db.begin();
            let query = "UPDATE api_token SET last_used_time = $1 WHERE scope_id = $2 AND id = $3";
            execute!(&mut tx, sqlx::query(query).bind(now).bind(scope).bind(token))?;
            tx.finish().await
        };
        if let Err(error) = outcome.await {
            tracing::debug!(%error, "last use of a token not noted");
        }
    });
}

#[derive(FromRow)]
struct TokenRow {
    token_id: TokenId,
    scope_kind: String,
    scope_id: Uuid,
    kind: String,
    scopes: String,
    expire_time: Time,
    revoke_time: Option<Time>,
    last_used_time: Option<Time>,
    wants_principal: Option<PrincipalId>,
    principal_id: Option<PrincipalId>,
    principal_slug: Option<Slug>,
    principal_kind: Option<String>,
    principal_owner: Option<Slug>,
}

async fn load(db: &mut impl Executor, digest: &[u8; 32]) -> Result<(Caller, Option<Time>)> {
    let unknown = Error::Unauthenticated(Credential::Unknown);
    let row: Option<TokenRow> = on!(db, |c| {
        sqlx::query_as(
        "SELECT t.id AS token_id, t.scope_kind, t.scope_id, t.kind, t.scopes, t.expire_time, t.revoke_time, \
                t.last_used_time, t.principal_id AS wants_principal, p.id AS principal_id, p.slug AS principal_slug, \
                p.kind AS principal_kind, \
                (SELECT o.slug FROM principal o WHERE o.scope_id = p.scope_id AND o.id = p.owner_id) AS principal_owner \
         FROM api_token_key k JOIN api_token t ON t.scope_id = k.scope_id AND t.id = k.token_id \
         LEFT JOIN principal p ON p.scope_id = t.scope_id AND p.id = t.principal_id \
              AND p.state = 'active' AND p.delete_time IS NULL \
              AND (p.owner_id IS NULL OR EXISTS (SELECT 1 FROM principal o WHERE o.scope_id = p.scope_id \
                   AND o.id = p.owner_id AND o.state = 'active' AND o.delete_time IS NULL)) \
         WHERE k.sha256 = $1"
    )
    .bind(digest.as_slice())
    .fetch_optional(c)
    })?;
    let row = row.ok_or_else(|| unknown.clone())?;
    if row.revoke_time.is_some() {
        return Err(unknown);
    }
    if row.wants_principal != row.principal_id {
        return Err(Error::Unauthenticated(Credential::Suspended));
    }
    // a scope that is gone ends its tokens
    let home = Scope::by_id(db, ScopeKind::parse(&row.scope_kind)?, row.scope_id).await?;
    let home = home.ok_or(Error::Unauthenticated(Credential::Suspended))?;
    let principal = match (row.principal_id, row.principal_slug, row.principal_kind) {
        (Some(id), Some(slug), Some(kind)) => {
            Some(CallerPrincipal { id, slug, kind, owner: row.principal_owner })
        }
        _ => None,
    };
    let duties = match &principal {
        Some(p) => duties(db, row.scope_id, p.id).await?,
        None => DutySet::default(),
    };
    let kind =
        TokenKind::parse(&row.kind).ok_or_else(|| Error::internal("unknown token kind in the database"))?;
    let caller = Caller {
        token: row.token_id,
        kind,
        scopes: TokenScope::parse_list(&row.scopes),
        expire_time: row.expire_time,
        home,
        principal,
        duties,
        bearer: Bearer::Token(*digest),
    };
    Ok((caller, row.last_used_time))
}

async fn duties(db: &mut impl Executor, scope: Uuid, principal: PrincipalId) -> Result<DutySet> {
    let rows: Vec<(String,)> =
        on!(db, |c| sqlx::query_as("SELECT duty FROM duty_grant WHERE scope_id = $1 AND principal_id = $2")
            .bind(scope)
            .bind(principal)
            .fetch_all(c))?;
    Ok(rows.iter().filter_map(|(duty,)| Duty::parse(duty)).fold(DutySet::default(), DutySet::with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_the_documented_form_and_one_changed_letter_is_refused_offline() {
        for kind in TokenKind::ALL {
            let secret = Secret::generate(kind).unwrap();
            let parts: Vec<_> = secret.text.split('_').collect();
            assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [2, kind.prefix().len(), 30, 6]);
            assert_eq!(digest_of(&secret.text).unwrap(), secret.digest);
            for at in 0..secret.text.len() {
                let mut typo = secret.text.clone().into_bytes();
                typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
                assert!(digest_of(&String::from_utf8(typo).unwrap()).is_err(), "letter {at}");
            }
        }
        for bad in ["", "pv", "pv_pat", "Bearer", "pv_pat_é_é", "pv_pat__"] {
            assert!(digest_of(bad).is_err());
        }
    }
}
