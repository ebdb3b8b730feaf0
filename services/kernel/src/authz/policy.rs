//! Duties and permits. Casbin decides; this is the only module of the kernel that knows it.

use std::{borrow::Cow, fmt, sync::Arc};

use casbin::{
    CoreApi as _, DefaultModel, Enforcer, MgmtApi as _, StringAdapter,
    function_map::{OperatorFunction, dynamic_to_str},
    rhai::Dynamic,
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    error::{Error, Result},
    scope::ScopeKind,
};

/// What an action does to the world; the first half of `act` in the policy and the base of an event's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Changes state.
    Write,
    /// Reads state.
    Read,
    /// Asks for a decision.
    Decide,
    /// Sends telemetry.
    Ingest,
}

impl Class {
    /// As in the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Decide => "decide",
            Self::Ingest => "ingest",
        }
    }
}

/// What an RPC does, as authorization and audit see it. Every RPC of the contract has at least one, in its slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Action {
    /// Full method name: `provost.role.v1.RoleService/CreateRole`.
    pub rpc: &'static str,
    /// Object: `role`, or a path like `duty/owner`.
    pub noun: &'static str,
    /// Verb: `create`.
    pub verb: &'static str,
    /// What it does.
    pub class: Class,
    /// The kinds of scope it is asked in.
    pub scopes: &'static [ScopeKind],
}

impl Action {
    /// `role.create`, as audit events and errors name it.
    pub fn name(&self) -> String {
        let noun = self.noun.split('/').next().unwrap_or(self.noun);
        format!("{noun}.{}", self.verb)
    }
}

/// An admin right-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Everything but what guard rails forbid.
    PlatformAdmin,
    /// Reads everything.
    PlatformAuditor,
    /// Runs a partner.
    PartnerAdmin,
    /// Provisions a partner's clients.
    Consultant,
    /// Everything in a tenant.
    Owner,
    /// People, roles and entitlements of a tenant.
    Admin,
    /// Reads a tenant's record.
    Compliance,
    /// Reads a tenant's figures.
    Finance,
    /// Decides on a tenant's requests.
    Approver,
    /// Own entitlements and usage.
    Member,
}

impl Duty {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 10] = [
        Self::PlatformAdmin,
        Self::PlatformAuditor,
        Self::PartnerAdmin,
        Self::Consultant,
        Self::Owner,
        Self::Admin,
        Self::Compliance,
        Self::Finance,
        Self::Approver,
        Self::Member,
    ];

    /// As stored and as in the policy (`duty:owner`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlatformAdmin => "platform_admin",
            Self::PlatformAuditor => "platform_auditor",
            Self::PartnerAdmin => "partner_admin",
            Self::Consultant => "consultant",
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Compliance => "compliance",
            Self::Finance => "finance",
            Self::Approver => "approver",
            Self::Member => "member",
        }
    }

    /// From its stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == text)
    }

    /// The kind of scope it is granted in.
    pub fn scope(self) -> ScopeKind {
        match self {
            Self::PlatformAdmin | Self::PlatformAuditor => ScopeKind::Platform,
            Self::PartnerAdmin | Self::Consultant => ScopeKind::Partner,
            Self::Owner | Self::Admin | Self::Compliance | Self::Finance | Self::Approver | Self::Member => {
                ScopeKind::Tenant
            }
        }
    }
}

/// A set of duties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DutySet(u16);

impl DutySet {
    /// Adds one.
    #[must_use]
    pub fn with(self, duty: Duty) -> Self {
        Self(self.0 | 1 << duty as u16)
    }

    /// Whether none is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The ones in it.
    pub fn iter(self) -> impl Iterator<Item = Duty> {
        Duty::ALL.into_iter().filter(move |d| self.0 & (1 << *d as u16) != 0)
    }
}

impl fmt::Display for DutySet {
    /// `duty:owner|duty:finance`, the `sub` of a request; never empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("duty:none");
        }
        for (i, duty) in self.iter().enumerate() {
            let bar = if i == 0 { "" } else { "|" };
            write!(f, "{bar}duty:{}", duty.as_str())?;
        }
        Ok(())
    }
}

/// One question to the policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The caller's duties that count in this scope.
    pub duties: DutySet,
    /// Kind of scope.
    pub kind: ScopeKind,
    /// Object path.
    pub object: Cow<'static, str>,
    /// Class of the action.
    pub class: Class,
    /// Verb of the action.
    pub verb: &'static str,
    /// Whether the object belongs to the caller.
    pub own: bool,
}

/// The compiled admin policy. Immutable: a change is a new one.
pub struct Policy {
    enforcer: Enforcer,
    /// Casbin takes about 0.1 ms a question; the built-in rows have no time windows, so an answer never changes.
    answers: Cache<Question, bool>,
    revision: String,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("revision", &self.revision).finish_non_exhaustive()
    }
}

const MODEL: &str = include_str!("../../../../policies/admin.conf");
const ROWS: &str = include_str!("../../../../policies/duties.csv");
const COLUMNS: usize = 8;
const ALWAYS_FROM: &str = "0000-01-01T00:00:00Z";
const ALWAYS_UNTIL: &str = "9999-12-31T23:59:59Z";

impl Policy {
    /// Compiles the built-in policy.
    pub async fn built_in() -> Result<Arc<Self>> {
        Self::compile(MODEL, ROWS).await.map(Arc::new)
    }

    /// Compiles `rows` under `model`. Casbin drops what it does not understand without a word, so every row is
    /// checked before and counted after.
    async fn compile(model: &str, rows: &str) -> Result<Self> {
        let wanted = check_rows(rows)?;
        let model = DefaultModel::from_str(model).await.map_err(Error::internal)?;
        let mut enforcer = Enforcer::new(model, StringAdapter::new(rows)).await.map_err(Error::internal)?;
        enforcer.add_function("holds", OperatorFunction::Arg2(holds));
        enforcer.add_function("pathMatch", OperatorFunction::Arg2(path_match));
        let loaded = enforcer.get_all_policy().len();
        if loaded != wanted {
            return Err(Error::internal(format!("policy: {wanted} rows written, {loaded} loaded")));
        }
        let revision = crate::hash::short_hex(rows.as_bytes());
        Ok(Self { enforcer, answers: Cache::new(4_096), revision })
    }

    /// Which policy this is: 16 hex digits of the SHA-256 of its rows. Recorded with every event.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Whether the policy allows it. An error is a no.
    pub fn allows(&self, question: &Question, now: Time) -> bool {
        if let Some(answer) = self.answers.get(question) {
            return answer;
        }
        let answer = self.ask(question, now).unwrap_or_else(|error| {
            tracing::error!(%error, "policy evaluation failed, answering no");
            false
        });
        self.answers.insert(question.clone(), answer);
        answer
    }

    fn ask(&self, q: &Question, now: Time) -> Result<bool> {
        let own = if q.own { "self" } else { "other" };
        let act = format!("{}/{}", q.class.as_str(), q.verb);
        let request = (q.duties.to_string(), q.kind.as_str(), q.object.as_ref(), act, own, now.to_string());
        if request.2.is_empty() || q.verb.is_empty() {
            return Ok(false);
        }
        self.enforcer.enforce(request).map_err(Error::internal)
    }
}

/// Checks the form of every row and returns how many there are.
fn check_rows(rows: &str) -> Result<usize> {
    let mut count = 0;
    for line in rows.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let wrong = |what: &str| Error::internal(format!("policy row `{line}`: {what}"));
        let cells: Vec<_> = line.split(',').map(str::trim).collect();
        let [kind, columns @ ..] = cells.as_slice() else { return Err(wrong("is empty")) };
        if *kind != "p" || columns.len() != COLUMNS || columns.iter().any(|c| c.is_empty()) {
            return Err(wrong("must be `p` and eight non-empty columns"));
        }
        let [.., cond, from, until, effect] = columns else { return Err(wrong("is too short")) };
        if !matches!(*effect, "allow" | "deny") {
            return Err(wrong("effect must be exactly `allow` or `deny`"));
        }
        if !matches!(*cond, "any" | "self" | "other") {
            return Err(wrong("condition must be `any`, `self` or `other`"));
        }
        let sentinel = columns.first() == Some(&"duty:__none__");
        if !sentinel && (*from != ALWAYS_FROM || *until != ALWAYS_UNTIL) {
            return Err(wrong(
                "a time window would be remembered beyond its end; windows belong to delegations",
            ));
        }
        count += 1;
    }
    Ok(count)
}

/// Whether the `|`-separated duties of a request hold the row's duty; `*` is everybody.
#[expect(clippy::needless_pass_by_value, reason = "casbin hands its arguments over by value")]
fn holds(request: Dynamic, row: Dynamic) -> Dynamic {
    let (request, row) = (dynamic_to_str(&request), dynamic_to_str(&row));
    (row.as_ref() == "*" || request.split('|').any(|d| d == row.as_ref())).into()
}

/// Segment-wise match: `*` is one segment, a last `**` is any number of them, none included.
#[expect(clippy::needless_pass_by_value, reason = "casbin hands its arguments over by value")]
fn path_match(path: Dynamic, pattern: Dynamic) -> Dynamic {
    matches_path(&dynamic_to_str(&path), &dynamic_to_str(&pattern)).into()
}

fn matches_path(path: &str, pattern: &str) -> bool {
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        if expected == "**" {
            return true;
        }
        match segments.next() {
            Some(segment) if expected == "*" || expected == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(
        duty: Option<Duty>,
        kind: ScopeKind,
        object: &'static str,
        class: Class,
        verb: &'static str,
    ) -> Question {
        let duties = duty.map_or(DutySet::default(), |d| DutySet::default().with(d));
        Question { duties, kind, object: object.into(), class, verb, own: false }
    }

    const NOW: Time = Time::from_micros(1_795_000_000_000_000);

    #[tokio::test]
    async fn nobody_raises_their_own_duty_whatever_they_hold() {
        let policy = Policy::built_in().await.unwrap();
        let mut q = question(
            Some(Duty::PlatformAdmin),
            ScopeKind::Platform,
            "duty/platform_admin",
            Class::Write,
            "grant",
        );
        assert!(policy.allows(&q, NOW));
        q.own = true;
        assert!(!policy.allows(&q, NOW));
    }

    #[tokio::test]
    async fn a_guard_rail_beats_every_other_duty_of_the_same_person() {
        let policy = Policy::built_in().await.unwrap();
        let mut q = question(Some(Duty::Owner), ScopeKind::Tenant, "floor/stage", Class::Write, "set");
        assert!(policy.allows(&q, NOW));
        q.duties = q.duties.with(Duty::Consultant);
        assert!(!policy.allows(&q, NOW));
    }

    #[tokio::test]
    async fn no_duty_and_empty_words_allow_nothing() {
        let policy = Policy::built_in().await.unwrap();
        assert!(!policy.allows(&question(None, ScopeKind::Tenant, "role", Class::Write, "create"), NOW));
        assert!(
            !policy.allows(&question(Some(Duty::Owner), ScopeKind::Tenant, "", Class::Write, "create"), NOW)
        );
        assert!(
            !policy.allows(&question(Some(Duty::Owner), ScopeKind::Tenant, "role", Class::Write, ""), NOW)
        );
    }

    #[tokio::test]
    async fn malformed_rows_are_refused_not_dropped() {
        let window = ROWS.replacen(ALWAYS_UNTIL, "2027-01-01T00:00:00Z", 1);
        let misspelt = ROWS.replacen(", allow", ", Allow", 1);
        let short = format!("{ROWS}p, duty:owner, tenant, **, **, any, allow\n");
        let group = format!("{ROWS}g2, a, b, c, d, e, f, g, allow\n");
        for rows in [window, misspelt, short, group] {
            assert!(Policy::compile(MODEL, &rows).await.is_err());
        }
    }

    #[test]
    fn paths_match_by_segment() {
        for (path, pattern) in [
            ("role", "role"),
            ("role", "**"),
            ("duty/owner", "duty/**"),
            ("duty", "duty/**"),
            ("read/get", "*/get"),
        ] {
            assert!(matches_path(path, pattern), "{path} {pattern}");
        }
        for (path, pattern) in
            [("roles", "role"), ("duty/owner", "duty"), ("duty", "duty/*"), ("a/b/c", "a/*")]
        {
            assert!(!matches_path(path, pattern), "{path} {pattern}");
        }
    }
}
