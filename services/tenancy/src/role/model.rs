//! What a role is, without any I/O.

use std::collections::{HashMap, HashSet};

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
    /// Identity of a role.
    RoleId;
}

/// Deepest chain of inclusions, counted in roles.
pub const MAX_DEPTH: usize = 8;

/// Whether the people of a role write software for a living.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Option<String>", into = "Option<&'static str>")]
pub enum RoleFamily {
    /// Not said.
    #[default]
    Unspecified,
    /// They do.
    Developer,
    /// They do something else.
    NonDeveloper,
}

impl RoleFamily {
    /// All of them, as stored.
    pub const WORDS: [&'static str; 3] = ["unspecified", "developer", "non_developer"];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Developer => "developer",
            Self::NonDeveloper => "non_developer",
        }
    }
}

// in records: nothing where it is not said, as in those from before there were families
impl From<RoleFamily> for Option<&'static str> {
    fn from(family: RoleFamily) -> Self {
        (family != RoleFamily::Unspecified).then(|| family.as_str())
    }
}

impl TryFrom<Option<String>> for RoleFamily {
    type Error = Error;

    fn try_from(text: Option<String>) -> Result<Self> {
        text.map_or(Ok(Self::Unspecified), Self::try_from)
    }
}

impl TryFrom<String> for RoleFamily {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match text.as_str() {
            "unspecified" => Ok(Self::Unspecified),
            "developer" => Ok(Self::Developer),
            "non_developer" => Ok(Self::NonDeveloper),
            other => Err(Error::internal(format!("role family `{other}` in the database"))),
        }
    }
}

/// A job role in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Role {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: RoleId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// What the job is.
    pub description: String,
    /// Its family. Roles of records from before there were families have none.
    #[sqlx(try_from = "String")]
    #[serde(default)]
    pub family: RoleFamily,
    /// Slugs of the roles that it takes in, sorted, separated by spaces.
    pub included: String,
    /// Revision and times.
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What a caller says of a new role.
#[derive(Clone, Debug, Default)]
pub struct NewRole {
    /// Last segment of the name.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// What the job is.
    pub description: String,
    /// Its family.
    pub family: RoleFamily,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct RolePatch {
    /// For people.
    pub display_name: Option<String>,
    /// What the job is.
    pub description: Option<String>,
    /// Its family.
    pub family: Option<RoleFamily>,
}

impl Resource for Role {
    const KIND: &'static str = "role";

    fn name(&self) -> String {
        format!("tenants/{}/roles/{}", self.tenant_slug, self.slug)
    }
}

impl Role {
    /// A new role.
    pub fn create(tenant: &TenantRef, new: NewRole, id: RoleId, now: Time) -> Result<Self> {
        let role = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("role_id", &new.id)?,
            display_name: new.display_name,
            description: new.description,
            family: new.family,
            included: String::new(),
            stamp: Stamp::new(now),
        };
        role.checked()
    }

    /// The role with other words.
    pub fn patched(&self, patch: RolePatch, now: Time) -> Result<Self> {
        self.stamp.alive(self.name())?;
        let role = Self {
            display_name: patch.display_name.unwrap_or_else(|| self.display_name.clone()),
            description: patch.description.unwrap_or_else(|| self.description.clone()),
            family: patch.family.unwrap_or(self.family),
            stamp: self.stamp.next(now),
            ..self.clone()
        };
        role.checked()
    }

    /// The role, deleted.
    pub fn deleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.deleted(self.name(), now)?, ..self.clone() })
    }

    /// The role, brought back.
    pub fn undeleted(&self, now: Time) -> Result<Self> {
        Ok(Self { stamp: self.stamp.undeleted(self.name(), now)?, ..self.clone() })
    }

    /// The role after a change of what it takes in, which is stored beside it.
    #[must_use]
    pub fn touched(&self, now: Time) -> Self {
        Self { stamp: self.stamp.next(now), ..self.clone() }
    }

    /// Whether the role may take `other` in, beside all `inclusions` (role, included) of the tenant: no circle, and no
    /// chain of more than [`MAX_DEPTH`] roles through the new inclusion.
    pub fn may_include(&self, other: &Role, inclusions: &[(RoleId, RoleId)]) -> Result<()> {
        if other.id == self.id {
            let message = format!("`{}` cannot include itself; name another role", self.name());
            return Err(Error::cycle_or_depth(self.name(), message));
        }
        let below = levels(other.id, inclusions.iter().copied());
        if below.iter().any(|level| level.contains(&self.id)) {
            let message = format!(
                "`{}` takes `{}` in already; roles never include each other",
                other.name(),
                self.name()
            );
            return Err(Error::cycle_or_depth(self.name(), message));
        }
        let above = levels(self.id, inclusions.iter().map(|(role, included)| (*included, *role)));
        if above.len() + below.len() > MAX_DEPTH {
            let message = format!(
                "a chain of inclusions would be more than {MAX_DEPTH} roles long; include `{}` further up",
                other.name()
            );
            return Err(Error::cycle_or_depth(self.name(), message));
        }
        Ok(())
    }

    /// Names of the roles that it takes in.
    pub fn included_roles(&self) -> Vec<String> {
        let slugs = self.included.split(' ').filter(|s| !s.is_empty());
        slugs.map(|s| format!("tenants/{}/roles/{s}", self.tenant_slug)).collect()
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("role.display_name", &self.display_name, 1, 128);
        checks.text("role.description", &self.description, 0, 1_024);
        checks.done().map(|()| self)
    }
}

/// The roles that `steps` (from, to) lead to from `start`, step by step: as many levels as the longest chain from `start`
/// has roles, itself included, but at most one more than [`MAX_DEPTH`].
fn levels(start: RoleId, steps: impl Iterator<Item = (RoleId, RoleId)>) -> Vec<HashSet<RoleId>> {
    let mut next: HashMap<RoleId, Vec<RoleId>> = HashMap::new();
    for (from, to) in steps {
        next.entry(from).or_default().push(to);
    }
    let mut levels = Vec::new();
    let mut level = HashSet::from([start]);
    while !level.is_empty() && levels.len() <= MAX_DEPTH {
        let further = level.iter().filter_map(|role| next.get(role)).flatten().copied().collect();
        levels.push(std::mem::replace(&mut level, further));
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{ids::PartnerId, scope::PartnerRef};
    use uuid::Uuid;

    #[test]
    fn a_family_that_is_not_said_is_nothing_in_the_record() {
        for (family, record) in [
            (RoleFamily::Unspecified, "null"),
            (RoleFamily::Developer, "\"developer\""),
            (RoleFamily::NonDeveloper, "\"non_developer\""),
        ] {
            assert_eq!(serde_json::to_string(&family).unwrap(), record);
            assert_eq!(serde_json::from_str::<RoleFamily>(record).unwrap(), family);
            assert_eq!(RoleFamily::try_from(family.as_str().to_owned()).unwrap(), family);
        }
    }

    fn role(n: u128) -> Role {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        let acme =
            TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner };
        let new = NewRole { id: format!("r{n}"), display_name: "Role".to_owned(), ..NewRole::default() };
        Role::create(&acme, new, RoleId(Uuid::from_u128(n)), Time::from_micros(1)).unwrap()
    }

    fn edges(pairs: &[(u128, u128)]) -> Vec<(RoleId, RoleId)> {
        pairs.iter().map(|(a, b)| (RoleId(Uuid::from_u128(*a)), RoleId(Uuid::from_u128(*b)))).collect()
    }

    /// 1 includes 2 includes 3 …, `n` roles in all.
    fn chain(n: u128) -> Vec<(RoleId, RoleId)> {
        edges(&(1..n).map(|i| (i, i + 1)).collect::<Vec<_>>())
    }

    #[test]
    fn roles_never_include_each_other_however_long_the_way() {
        assert!(role(1).may_include(&role(1), &[]).is_err());
        assert!(role(2).may_include(&role(1), &chain(2)).is_err());
        assert!(role(8).may_include(&role(1), &chain(8)).is_err());
        assert!(role(4).may_include(&role(1), &edges(&[(1, 2), (1, 3), (3, 4), (2, 5)])).is_err());
        assert!(role(1).may_include(&role(4), &edges(&[(1, 2), (1, 3), (3, 4), (2, 5)])).is_ok());
    }

    #[test]
    fn a_chain_has_at_most_eight_roles_counted_above_and_below() {
        assert!(role(7).may_include(&role(8), &chain(7)).is_ok());
        assert!(role(8).may_include(&role(9), &chain(8)).is_err());
        // 1..4 above and 11..14 below make eight, 11..15 one too many
        let below = |last: u128| edges(&(11..last).map(|i| (i, i + 1)).collect::<Vec<_>>());
        assert!(role(4).may_include(&role(11), &[chain(4), below(14)].concat()).is_ok());
        assert!(role(4).may_include(&role(11), &[chain(4), below(15)].concat()).is_err());
        // what hangs beside the new chain does not lengthen it
        assert!(role(1).may_include(&role(20), &[chain(8), edges(&[(20, 21)])].concat()).is_ok());
    }

    #[test]
    fn of_several_ways_the_longest_counts() {
        // 1 reaches 6 at once and over five others
        let inclusions = edges(&[(1, 6), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7)]);
        assert!(role(7).may_include(&role(8), &inclusions).is_ok());
        assert!(role(8).may_include(&role(9), &[inclusions, edges(&[(7, 8)])].concat()).is_err());
    }

    #[test]
    fn a_circle_in_the_data_does_not_hang() {
        assert!(role(3).may_include(&role(1), &edges(&[(1, 2), (2, 1)])).is_err());
    }
}
