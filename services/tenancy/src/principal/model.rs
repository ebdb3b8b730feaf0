//! What a principal is, without any I/O.

use kernel::{
    Error, Result,
    audit::{Resource, sealed::ERASED, subject::Subject},
    check::Checks,
    clock::Time,
    ids::{PrincipalId, Slug},
    scope::{Scope, ScopeKind},
    stamp::Stamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::parent_name;
use crate::unit::model::{Unit, UnitId};

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program that acts for itself.
    Service,
    /// A program that acts for its owner.
    Agent,
}

impl PrincipalKind {
    /// All of them, as stored.
    pub const WORDS: [&'static str; 3] = ["user", "service", "agent"];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Agent => "agent",
        }
    }
}

impl TryFrom<String> for PrincipalKind {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match text.as_str() {
            "user" => Ok(Self::User),
            "service" => Ok(Self::Service),
            "agent" => Ok(Self::Agent),
            other => Err(Error::internal(format!("principal kind `{other}` in the database"))),
        }
    }
}

/// Whether a principal may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalState {
    /// May act.
    Active,
    /// May not authenticate; every decision about it is a deny.
    Suspended,
}

impl PrincipalState {
    /// All of them, as stored.
    pub const WORDS: [&'static str; 2] = ["active", "suspended"];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

impl TryFrom<String> for PrincipalState {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match text.as_str() {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            other => Err(Error::internal(format!("principal state `{other}` in the database"))),
        }
    }
}

/// Somebody or something that acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Principal {
    /// Where it lives; nil on the platform.
    pub scope_id: Uuid,
    /// The name of where it lives: empty, `partners/{p}` or `tenants/{t}`.
    pub parent: String,
    /// Identity.
    pub id: PrincipalId,
    /// Last segment of the name.
    pub slug: Slug,
    /// What it is.
    #[sqlx(try_from = "String")]
    pub kind: PrincipalKind,
    /// For people.
    pub display_name: String,
    /// Unique in its parent among the living; empty for none.
    pub email: String,
    /// The unit it belongs to.
    pub unit_id: Option<UnitId>,
    /// The unit, by id in names.
    pub unit_slug: Option<Slug>,
    /// Whom an agent acts for.
    pub owner_id: Option<PrincipalId>,
    /// The owner, by id in names.
    pub owner_slug: Option<Slug>,
    /// Whether it may act.
    #[sqlx(try_from = "String")]
    pub state: PrincipalState,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new principal.
#[derive(Clone, Debug, Default)]
pub struct NewPrincipal {
    /// Last segment of the name.
    pub id: String,
    /// What it is; required.
    pub kind: Option<PrincipalKind>,
    /// For people.
    pub display_name: String,
    /// Or empty.
    pub email: String,
    /// Name of the unit, or empty.
    pub unit: String,
    /// Name of the owner; for agents.
    pub owner: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct PrincipalPatch {
    /// For people.
    pub display_name: Option<String>,
    /// Or empty.
    pub email: Option<String>,
    /// Name of the unit, or empty for none.
    pub unit: Option<String>,
}

impl Resource for Principal {
    const KIND: &'static str = "principal";
    const PERSONAL: &'static [&'static str] = &["display_name", "email"];

    fn name(&self) -> String {
        match self.parent.as_str() {
            "" => format!("principals/{}", self.slug),
            parent => format!("{parent}/principals/{}", self.slug),
        }
    }

    fn subject(&self) -> Option<Subject> {
        Some(Subject { scope: self.scope_id, principal: self.id.0 })
    }
}

impl Principal {
    /// A new principal in `scope`; `unit` and `owner` are what the caller's names stand for.
    pub fn create(
        scope: &Scope,
        new: NewPrincipal,
        unit: Option<&Unit>,
        owner: Option<&Principal>,
        id: PrincipalId,
        now: Time,
    ) -> Result<Self> {
        let kind = new
            .kind
            .ok_or_else(|| Error::invalid("principal.kind", "is required: USER, SERVICE or AGENT"))?;
        owned(scope.kind(), kind, owner)?;
        let principal = Self {
            scope_id: scope.id(),
            parent: parent_name(scope),
            id,
            slug: login(&new.id)?,
            kind,
            display_name: new.display_name,
            email: new.email,
            unit_id: unit.map(|u| u.id),
            unit_slug: unit.map(|u| u.slug.clone()),
            owner_id: owner.map(|o| o.id),
            owner_slug: owner.map(|o| o.slug.clone()),
            state: PrincipalState::Active,
            stamp: Stamp::new(now),
        };
        principal.checked()
    }

    /// The principal with other words or in another unit; `unit` is what `patch.unit` stands for.
    pub fn patched(&self, patch: PrincipalPatch, unit: Option<&Unit>, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let mut after = Self { stamp: self.stamp.next(now), ..self.clone() };
        if patch.unit.is_some() {
            after.unit_id = unit.map(|u| u.id);
            after.unit_slug = unit.map(|u| u.slug.clone());
        }
        after.display_name = patch.display_name.unwrap_or(after.display_name);
        after.email = patch.email.unwrap_or(after.email);
        after.checked()
    }

    /// The principal, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The principal, brought back; an erased one stays away.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        if self.is_erased() {
            let message = format!("`{}` was erased and does not come back; create another", self.name());
            return Err(Error::illegal_state(self.name(), message));
        }
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    /// The deleted principal without anything personal; its id stays in the names of the record.
    pub fn erased(&self, now: Time) -> Result<Self> {
        let name = self.name();
        if self.stamp.delete_time.is_none() {
            let message = format!("`{name}` is not deleted; delete it first, then erase it");
            return Err(Error::illegal_state(name, message));
        }
        if self.is_erased() {
            let message = format!("`{name}` was erased already, so there is nothing to erase");
            return Err(Error::illegal_state(name, message));
        }
        let (display_name, email) = (ERASED.to_owned(), String::new());
        Ok(Self { display_name, email, stamp: self.stamp.next(now), ..self.clone() })
    }

    /// Whether nothing personal is left of it.
    pub fn is_erased(&self) -> bool {
        self.display_name == ERASED
    }

    /// Whether it lives and is active.
    pub fn may_act(&self) -> bool {
        self.stamp.delete_time.is_none() && self.state == PrincipalState::Active
    }

    /// ACTIVE -> SUSPENDED.
    pub fn suspended(&self, now: Time) -> Result<Self> {
        self.moved(PrincipalState::Active, PrincipalState::Suspended, "suspend", now)
    }

    /// SUSPENDED -> ACTIVE.
    pub fn resumed(&self, now: Time) -> Result<Self> {
        self.moved(PrincipalState::Suspended, PrincipalState::Active, "resume", now)
    }

    fn moved(&self, from: PrincipalState, to: PrincipalState, verb: &str, now: Time) -> Result<Self> {
        let name = self.name();
        self.stamp.alive(&name)?;
        if self.state != from {
            let message = format!("`{name}` is {}, so there is nothing to {verb}", self.state.as_str());
            return Err(Error::illegal_state(&name, message));
        }
        Ok(Self { state: to, stamp: self.stamp.next(now), ..self.clone() })
    }

    /// Where it lives, as stored.
    pub fn scope_kind(&self) -> ScopeKind {
        match self.parent.split('/').next() {
            Some("tenants") => ScopeKind::Tenant,
            Some("partners") => ScopeKind::Partner,
            _ => ScopeKind::Platform,
        }
    }

    /// Name of its unit, or empty.
    pub fn unit(&self) -> String {
        self.unit_slug.as_ref().map_or_else(String::new, |slug| format!("{}/units/{slug}", self.parent))
    }

    /// Name of its owner, or empty.
    pub fn owner(&self) -> String {
        self.owner_slug.as_ref().map_or_else(String::new, |slug| format!("{}/principals/{slug}", self.parent))
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("principal.display_name", &self.display_name, 1, 128);
        checks.that("principal.display_name", !self.is_erased(), "stands for erased names; use another");
        checks.email("principal.email", &self.email);
        checks.done().map(|()| self)
    }
}

/// The id of a new principal. A vendor's plugin may start with a digit, somebody's login name does not.
fn login(id: &str) -> Result<Slug> {
    let slug = Slug::parse_dotted("principal_id", id)?;
    if slug.as_str().starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(slug);
    }
    Err(Error::invalid("principal_id", format!("`{slug}` is not an id: start it with a letter")))
}

/// An agent has an owner, who is a user of the same tenant; nobody else has one.
fn owned(scope: ScopeKind, kind: PrincipalKind, owner: Option<&Principal>) -> Result<()> {
    let agent = kind == PrincipalKind::Agent;
    let mut checks = Checks::new();
    let home = !agent || scope == ScopeKind::Tenant;
    checks.that("principal.kind", home, "an agent acts for a user of a tenant: create it there");
    checks.that("principal.owner", !agent || owner.is_some(), "is required: an agent acts for a user");
    checks.that("principal.owner", agent || owner.is_none(), "is for agents; leave it empty");
    let user = owner.is_none_or(|o| o.kind == PrincipalKind::User);
    checks.that("principal.owner", user, "is not a user; an agent acts for a person");
    checks.done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{
        ids::{PartnerId, TenantId},
        scope::{PartnerRef, TenantRef},
    };

    const NOW: Time = Time::from_micros(1_000_000);

    fn slug(text: &str) -> Slug {
        Slug::parse_dotted("id", text).unwrap()
    }

    fn acme() -> Scope {
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        Scope::Tenant(TenantRef {
            id: TenantId(Uuid::max()),
            slug: slug("acme"),
            state: "live".to_owned(),
            partner,
        })
    }

    fn new(kind: PrincipalKind) -> NewPrincipal {
        NewPrincipal {
            id: "maria.lopez".to_owned(),
            kind: Some(kind),
            display_name: "Maria".to_owned(),
            ..NewPrincipal::default()
        }
    }

    fn created(scope: &Scope, kind: PrincipalKind, owner: Option<&Principal>) -> Result<Principal> {
        Principal::create(scope, new(kind), None, owner, PrincipalId(Uuid::nil()), NOW)
    }

    #[test]
    fn an_agent_needs_an_owner_who_is_a_user_and_nobody_else_has_one() {
        let user = created(&acme(), PrincipalKind::User, None).unwrap();
        let service = created(&acme(), PrincipalKind::Service, None).unwrap();
        let agent = created(&acme(), PrincipalKind::Agent, Some(&user)).unwrap();
        assert_eq!(agent.owner(), "tenants/acme/principals/maria.lopez");
        for (kind, owner) in [
            (PrincipalKind::Agent, None),
            (PrincipalKind::Agent, Some(&service)),
            (PrincipalKind::Agent, Some(&agent)),
            (PrincipalKind::User, Some(&user)),
            (PrincipalKind::Service, Some(&user)),
        ] {
            assert!(matches!(created(&acme(), kind, owner), Err(Error::Invalid(_))), "{kind:?}");
        }
        assert!(created(&Scope::Platform, PrincipalKind::Agent, Some(&user)).is_err());
    }

    #[test]
    fn suspend_and_resume_move_once_each_and_not_the_deleted() {
        let active = created(&acme(), PrincipalKind::User, None).unwrap();
        let suspended = active.suspended(NOW).unwrap();
        assert!(suspended.suspended(NOW).is_err());
        assert!(active.resumed(NOW).is_err());
        assert_eq!(suspended.resumed(NOW).unwrap().state, PrincipalState::Active);
        let gone = active.deleted(NOW).unwrap();
        assert!(gone.suspended(NOW).is_err());
        assert!(gone.patched(PrincipalPatch::default(), None, NOW).is_err());
        assert_eq!(gone.undeleted(NOW).unwrap().stamp.revision, 3);
    }

    #[test]
    fn only_the_deleted_are_erased_and_the_erased_stay_away() {
        let user = created(&acme(), PrincipalKind::User, None).unwrap();
        assert!(user.erased(NOW).is_err());
        let erased = user.deleted(NOW).unwrap().erased(NOW).unwrap();
        assert_eq!((erased.display_name.as_str(), erased.email.as_str()), (ERASED, ""));
        assert_eq!(erased.slug, user.slug);
        assert!(erased.erased(NOW).is_err());
        assert!(erased.undeleted(NOW).is_err());
        let posing = PrincipalPatch { display_name: Some(ERASED.to_owned()), ..Default::default() };
        assert!(matches!(user.patched(posing, None, NOW), Err(Error::Invalid(_))));
    }

    #[test]
    fn an_update_clears_the_unit_only_when_it_says_so() {
        let user = created(&acme(), PrincipalKind::User, None).unwrap();
        let placed = Principal { unit_id: Some(UnitId(Uuid::nil())), unit_slug: Some(slug("sales")), ..user };
        let kept = placed.patched(
            PrincipalPatch { email: Some("m@acme.test".to_owned()), ..Default::default() },
            None,
            NOW,
        );
        assert_eq!(kept.unwrap().unit(), "tenants/acme/units/sales");
        let left =
            placed.patched(PrincipalPatch { unit: Some(String::new()), ..Default::default() }, None, NOW);
        assert_eq!(left.unwrap().unit(), "");
        let bad = placed.patched(
            PrincipalPatch { email: Some("no address".to_owned()), ..Default::default() },
            None,
            NOW,
        );
        assert!(bad.is_err());
    }
}
