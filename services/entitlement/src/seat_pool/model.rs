//! What a seat pool is, without any I/O.

use kernel::{
    Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{PrincipalId, Slug, TenantId},
    scope::TenantRef,
    stamp::Stamp,
    uuid_id,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

uuid_id! {
    /// Identity of a seat pool.
    SeatPoolId;
}

/// A pool of seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct SeatPool {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: SeatPoolId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new pool.
#[derive(Clone, Debug, Default)]
pub struct NewSeatPool {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct SeatPoolPatch {
    /// For people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// The name of a tenant's seat pool.
pub fn name(tenant: &Slug, slug: &str) -> String {
    format!("tenants/{tenant}/seatPools/{slug}")
}

impl Resource for SeatPool {
    const KIND: &'static str = "seat_pool";

    fn name(&self) -> String {
        name(&self.tenant_slug, self.slug.as_str())
    }
}

impl SeatPool {
    /// A new pool.
    pub fn create(tenant: &TenantRef, new: NewSeatPool, id: SeatPoolId, now: Time) -> Result<Self> {
        let pool = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("seat_pool_id", &new.id)?,
            display_name: new.display_name,
            description: new.description,
            stamp: Stamp::new(now),
        };
        pool.checked()
    }

    /// The pool with other words.
    pub fn patched(&self, patch: SeatPoolPatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let mut after = Self { stamp: self.stamp.next(now), ..self.clone() };
        after.display_name = patch.display_name.unwrap_or(after.display_name);
        after.description = patch.description.unwrap_or(after.description);
        after.checked()
    }

    /// The pool, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The pool, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("seat_pool.display_name", &self.display_name, 1, 128);
        checks.text("seat_pool.description", &self.description, 0, 1_024);
        checks.done().map(|()| self)
    }
}

/// One principal with a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct SeatHolder {
    /// Identity of the holding: one that ends and begins again is another.
    pub id: Uuid,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// The principal.
    pub principal_id: PrincipalId,
    /// The principal, by id in names.
    pub principal_slug: Slug,
    /// Since when.
    pub create_time: Time,
}

impl SeatHolder {
    /// Name of the principal.
    pub fn holder(&self) -> String {
        format!("tenants/{}/principals/{}", self.tenant_slug, self.principal_slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{ids::PartnerId, scope::PartnerRef};

    const NOW: Time = Time::from_micros(1_000_000);

    fn created(id: &str, display_name: &str, description: &str) -> Result<SeatPool> {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        let acme =
            TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner };
        let new = NewSeatPool {
            id: id.to_owned(),
            display_name: display_name.to_owned(),
            description: description.to_owned(),
        };
        SeatPool::create(&acme, new, SeatPoolId(Uuid::nil()), NOW)
    }

    #[test]
    fn a_pool_keeps_its_words_within_their_limits() {
        let made = created("standard", &"ä".repeat(128), &"x".repeat(1_024)).unwrap();
        assert_eq!(made.name(), "tenants/acme/seatPools/standard");
        assert!(created("standard", "Standard", &"x".repeat(1_025)).is_err());
        assert!(created("standard", &"ä".repeat(129), "").is_err());
        assert!(created("standard", "", "").is_err());
        assert!(created("any.thing", "Standard", "").is_err());
    }

    #[test]
    fn an_update_changes_what_it_says_and_not_a_deleted_pool() {
        let pool = created("standard", "Standard", "for everybody").unwrap();
        let patch = SeatPoolPatch { display_name: Some("Basic".to_owned()), description: None };
        let renamed = pool.patched(patch, NOW).unwrap();
        assert_eq!((renamed.display_name.as_str(), renamed.description.as_str()), ("Basic", "for everybody"));
        assert!(pool.deleted(NOW).unwrap().patched(SeatPoolPatch::default(), NOW).is_err());
    }
}
