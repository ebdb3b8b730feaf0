//! What a unit is, without any I/O.

use kernel::{
    Error, Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{Slug, TenantId},
    scope::TenantRef,
    stamp::Stamp,
    uuid_id,
};
use serde::{Deserialize, Serialize};

uuid_id! {
    /// Identity of a unit.
    UnitId;
}

/// Deepest tree, counted in units from the top.
pub const MAX_DEPTH: usize = 16;

/// A department or cost centre of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Unit {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: UnitId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// The unit above; none at the top.
    pub parent_id: Option<UnitId>,
    /// The unit above, by id in names.
    pub parent_slug: Option<Slug>,
    /// The client's own key for charging back.
    pub cost_center: String,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new unit.
#[derive(Clone, Debug, Default)]
pub struct NewUnit {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// Name of the unit above, or empty.
    pub parent_unit: String,
    /// The client's own key for charging back.
    pub cost_center: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct UnitPatch {
    /// For people.
    pub display_name: Option<String>,
    /// Name of the unit above, or empty for the top.
    pub parent_unit: Option<String>,
    /// The client's own key for charging back.
    pub cost_center: Option<String>,
}

impl Resource for Unit {
    const KIND: &'static str = "unit";

    fn name(&self) -> String {
        unit_name(&self.tenant_slug, &self.slug)
    }
}

impl Unit {
    /// A new unit; `parent` is what `new.parent_unit` stands for.
    pub fn create(
        tenant: &TenantRef,
        new: NewUnit,
        parent: Option<&Unit>,
        id: UnitId,
        now: Time,
    ) -> Result<Self> {
        let unit = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("unit_id", &new.id)?,
            display_name: new.display_name,
            parent_id: parent.map(|p| p.id),
            parent_slug: parent.map(|p| p.slug.clone()),
            cost_center: new.cost_center,
            stamp: Stamp::new(now),
        };
        unit.checked()
    }

    /// The unit with other words or in another place; `parent` is what `patch.parent_unit` stands for.
    pub fn patched(&self, patch: UnitPatch, parent: Option<&Unit>, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let mut after = Self { stamp: self.stamp.next(now), ..self.clone() };
        if patch.parent_unit.is_some() {
            after.parent_id = parent.map(|p| p.id);
            after.parent_slug = parent.map(|p| p.slug.clone());
        }
        after.display_name = patch.display_name.unwrap_or(after.display_name);
        after.cost_center = patch.cost_center.unwrap_or(after.cost_center);
        after.checked()
    }

    /// The unit, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The unit, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    /// Name of the unit above, or empty.
    pub fn parent_unit(&self) -> String {
        self.parent_slug.as_ref().map_or_else(String::new, |slug| unit_name(&self.tenant_slug, slug))
    }

    /// Whether the tree holds the unit under `above`, the chain from its parent to the top, with `below` levels of units
    /// under it: no circle, and at most [`MAX_DEPTH`] deep.
    pub fn fits(&self, above: &[UnitId], below: usize) -> Result<()> {
        let name = self.name();
        if above.contains(&self.id) {
            let message =
                format!("`{}` is `{name}` or below it; choose a unit elsewhere", self.parent_unit());
            return Err(Error::cycle_or_depth(name, message));
        }
        let depth = above.len().saturating_add(1).saturating_add(below);
        if depth > MAX_DEPTH {
            let message =
                format!("the tree would be more than {MAX_DEPTH} deep; choose a unit nearer to the top");
            return Err(Error::cycle_or_depth(name, message));
        }
        Ok(())
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("unit.display_name", &self.display_name, 1, 128);
        checks.text("unit.cost_center", &self.cost_center, 0, 64);
        checks.done().map(|()| self)
    }
}

/// A unit's resource name.
pub fn unit_name(tenant: &Slug, unit: &Slug) -> String {
    format!("tenants/{tenant}/units/{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{ids::PartnerId, scope::PartnerRef};
    use uuid::Uuid;

    const NOW: Time = Time::from_micros(1_000_000);

    fn slug(text: &str) -> Slug {
        Slug::parse("id", text).unwrap()
    }

    fn acme() -> TenantRef {
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner }
    }

    fn unit(id: u128, parent: Option<&Unit>) -> Unit {
        let new = NewUnit { id: format!("u{id}"), display_name: "Unit".to_owned(), ..NewUnit::default() };
        Unit::create(&acme(), new, parent, UnitId(Uuid::from_u128(id)), NOW).unwrap()
    }

    fn chain(length: u128) -> Vec<UnitId> {
        (1..=length).map(|n| UnitId(Uuid::from_u128(n))).collect()
    }

    #[test]
    fn the_tree_is_sixteen_deep_and_not_deeper() {
        let new = unit(99, None);
        assert!(new.fits(&chain(15), 0).is_ok());
        assert!(new.fits(&chain(10), 5).is_ok());
        assert!(new.fits(&[], 15).is_ok());
        for (above, below) in [(16, 0), (10, 6), (0, 16)] {
            let refused = new.fits(&chain(above), below);
            assert!(matches!(refused, Err(Error::Precondition { .. })), "{above} {below}");
        }
    }

    #[test]
    fn a_unit_is_never_below_itself() {
        assert!(unit(3, None).fits(&chain(5), 0).is_err());
        assert!(unit(1, None).fits(&chain(1), 0).is_err());
        assert!(unit(6, None).fits(&chain(5), 0).is_ok());
    }

    #[test]
    fn an_update_moves_to_the_top_only_when_it_says_so() {
        let top = unit(1, None);
        let under = unit(2, Some(&top));
        assert_eq!(under.parent_unit(), "tenants/acme/units/u1");
        let renamed = under.patched(
            UnitPatch { cost_center: Some("4711".to_owned()), ..Default::default() },
            None,
            NOW,
        );
        assert_eq!(renamed.unwrap().parent_id, Some(top.id));
        let moved =
            under.patched(UnitPatch { parent_unit: Some(String::new()), ..Default::default() }, None, NOW);
        assert_eq!(moved.unwrap().parent_id, None);
        let long = UnitPatch { cost_center: Some("x".repeat(65)), ..Default::default() };
        assert!(under.patched(long, None, NOW).is_err());
    }
}
