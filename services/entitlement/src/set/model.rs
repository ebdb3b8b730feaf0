//! What a set is, without any I/O.

use std::{fmt::Debug, marker::PhantomData};

use kernel::{
    Result,
    audit::Resource,
    authz::Action,
    check::Checks,
    clock::Time,
    db::list::ListSpec,
    ids::{Slug, TenantId},
    name,
    scope::TenantRef,
    stamp::Stamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A kind of set.
pub trait Kind: Clone + Debug + PartialEq + Eq + Send + Sync + Unpin + 'static {
    /// In the record and the policy, and the table: `plugin_group`.
    const NOUN: &'static str;
    /// For people: `plugin group`.
    const WORDS: &'static str;
    /// In names: `pluginGroups`.
    const COLLECTION: &'static str;
    /// How it is listed.
    const LIST: ListSpec;
    /// What it can be asked for.
    const VERBS: Verbs;
}

/// What every kind of set can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Verbs {
    /// To be created.
    pub create: Action,
    /// To be shown.
    pub get: Action,
    /// To be listed.
    pub list: Action,
    /// To be changed.
    pub update: Action,
    /// To be deleted.
    pub delete: Action,
    /// To be brought back.
    pub undelete: Action,
}

/// A set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(bound = "")]
pub struct Set<K> {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: Uuid,
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
    #[sqlx(skip)]
    #[serde(skip)]
    kind: PhantomData<K>,
}

/// What a caller says of a new set.
#[derive(Clone, Debug, Default)]
pub struct NewSet {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct SetPatch {
    /// For people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// The name of a tenant's set.
pub fn name<K: Kind>(tenant: &Slug, slug: &str) -> String {
    format!("tenants/{tenant}/{}/{slug}", K::COLLECTION)
}

/// The tenant's name and the set's slug.
pub fn parse<K: Kind>(field: &str, name: &str) -> Result<(String, Slug)> {
    let [tenant, slug] = name::parse(field, &format!("tenants/{{}}/{}/{{}}", K::COLLECTION), name)?;
    Ok((format!("tenants/{tenant}"), slug))
}

impl<K: Kind> Resource for Set<K> {
    const KIND: &'static str = K::NOUN;

    fn name(&self) -> String {
        name::<K>(&self.tenant_slug, self.slug.as_str())
    }
}

impl<K: Kind> Set<K> {
    /// A new set.
    pub fn create(tenant: &TenantRef, new: NewSet, id: Uuid, now: Time) -> Result<Self> {
        let set = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse(&format!("{}_id", K::NOUN), &new.id)?,
            display_name: new.display_name,
            description: new.description,
            stamp: Stamp::new(now),
            kind: PhantomData,
        };
        set.checked()
    }

    /// The set with other words.
    pub fn patched(&self, patch: SetPatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let mut after = Self { stamp: self.stamp.next(now), ..self.clone() };
        after.display_name = patch.display_name.unwrap_or(after.display_name);
        after.description = patch.description.unwrap_or(after.description);
        after.checked()
    }

    /// The set, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The set, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text(&format!("{}.display_name", K::NOUN), &self.display_name, 1, 128);
        checks.text(&format!("{}.description", K::NOUN), &self.description, 0, 1_024);
        checks.done().map(|()| self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plugin_group::model::PluginGroups, seat_pool::model::SeatPools};
    use kernel::{ids::PartnerId, scope::PartnerRef};

    const NOW: Time = Time::from_micros(1_000_000);

    fn created<K: Kind>(id: &str, display_name: &str, description: &str) -> Result<Set<K>> {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        let acme =
            TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner };
        let new = NewSet {
            id: id.to_owned(),
            display_name: display_name.to_owned(),
            description: description.to_owned(),
        };
        Set::create(&acme, new, Uuid::nil(), NOW)
    }

    fn keeps_its_words_within_their_limits<K: Kind>(collection: &str) {
        let made = created::<K>("research", &"ä".repeat(128), &"x".repeat(1_024)).unwrap();
        let name = format!("tenants/acme/{collection}/research");
        assert_eq!(made.name(), name);
        assert_eq!(parse::<K>("name", &name).unwrap(), ("tenants/acme".to_owned(), made.slug));
        for (id, display_name, description) in [
            ("research", "Research", "x".repeat(1_025).as_str()),
            ("research", "ä".repeat(129).as_str(), ""),
            ("research", "", ""),
            ("Research", "Research", ""),
            ("any.thing", "Research", ""),
        ] {
            assert!(created::<K>(id, display_name, description).is_err(), "{id} {display_name}");
        }
    }

    #[test]
    fn every_kind_of_set_keeps_its_words_within_their_limits() {
        keeps_its_words_within_their_limits::<PluginGroups>("pluginGroups");
        keeps_its_words_within_their_limits::<SeatPools>("seatPools");
    }

    #[test]
    fn an_update_changes_what_it_says_and_not_a_deleted_set() {
        let set = created::<PluginGroups>("research", "Research", "what analysts read").unwrap();
        let patch = SetPatch { display_name: Some("Data".to_owned()), description: None };
        let renamed = set.patched(patch, NOW).unwrap();
        let words = (renamed.display_name.as_str(), renamed.description.as_str());
        assert_eq!(words, ("Data", "what analysts read"));
        assert!(set.deleted(NOW).unwrap().patched(SetPatch::default(), NOW).is_err());
    }
}
