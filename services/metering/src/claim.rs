//! One source a session: an assistant may say the same tokens, costs and decisions in log events, in metrics and in spans, of
//! which one way counts. The first that is heard of decides, it is recorded, and the others never count.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use kernel::{
    Result,
    clock::Time,
    db::tx::Tx,
    ids::{PrincipalId, TenantId},
};

use crate::{event::decimal::Decimal, meter};

pub mod store;

/// What an event asks for: that its figures count for the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The session, or where the items of one kind name none, the process.
    pub session: String,
    /// In which way it is told.
    pub source_kind: SourceKind,
}

/// In which way usage is told. Where several come at once, the most telling one decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// Spans.
    Spans,
    /// Log events.
    Logs,
    /// Data points of metrics.
    Metrics,
}

impl SourceKind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// An event that asks.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'e> {
    /// Whose it is; none for a tenant's own token. Nobody decides for somebody else.
    pub principal: Option<PrincipalId>,
    /// The assistant.
    pub client: &'e str,
    /// What it asks for.
    pub claim: &'e Claim,
}

impl Claimant<'_> {
    fn key(&self) -> store::Key {
        store::Key {
            client: self.client.to_owned(),
            session: self.claim.session.clone(),
            principal_id: self.principal.unwrap_or(PrincipalId(uuid::Uuid::nil())),
        }
    }
}

/// Decides for every session that nobody has decided for, and says of each claimant whether what is told in several ways counts
/// in its way. To be called in the transaction that stores the events. Whoever loses keeps what [`settled`] leaves.
pub async fn claims_settle(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    now: Time,
    claimants: &[Claimant<'_>],
) -> Result<Vec<bool>> {
    // sorted, so that two transactions that overlap wait for each other in no circle
    let mut asked = BTreeMap::new();
    for claimant in claimants {
        let kind = claimant.claim.source_kind;
        asked
            .entry(claimant.key())
            .and_modify(|first: &mut SourceKind| *first = kind.min(*first))
            .or_insert(kind);
    }
    let asked: Vec<_> = asked.into_iter().collect();
    store::source_insert_all(tx, tenant, now, &asked).await?;
    let keys: Vec<_> = asked.into_iter().map(|(key, _)| key).collect();
    let decided: HashMap<_, _> = store::source_find_all(tx, tenant, &keys).await?.into_iter().collect();
    let counts = |claimant: &Claimant<'_>| {
        decided.get(&claimant.key()).is_some_and(|kind| kind == claimant.claim.source_kind.as_str())
    };
    Ok(claimants.iter().map(counts).collect())
}

/// What is left of an event's quantities when its way of telling does not count for its session.
pub fn settled(values: &mut Vec<(Cow<'static, str>, Decimal)>) {
    values.retain(|(name, _)| !told_twice(name));
}

/// Whether a quantity may be told in several ways.
pub fn told_twice(name: &str) -> bool {
    [meter::COST_USD, meter::DECISIONS].contains(&name) || name.starts_with("tokens.")
}
