//! What an entitlement is, without any I/O.

use catalog::model::{MarketplaceId, PluginId};
use kernel::{
    Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    error::Error,
    ids::{Slug, TenantId},
    scope::TenantRef,
    stamp, uuid_id,
};
use serde::{Deserialize, Serialize};
use tenancy::role::model::RoleId;

use crate::{
    plugin_group::model::PluginGroupId,
    seat_pool::{self, model::SeatPoolId},
};

uuid_id! {
    /// Identity of an entitlement.
    EntitlementId;
}

/// The role that stands for every principal of the tenant.
pub const EVERYBODY: &str = "*";

/// What an entitlement does, weakest permission first; a deny beats all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// May not be used.
    Denied,
    /// May be installed.
    Available,
    /// Installed unless removed.
    Default,
    /// Installed for good.
    Required,
}

impl Effect {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Available => "available",
            Self::Default => "default",
            Self::Required => "required",
        }
    }
}

impl TryFrom<String> for Effect {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let all = [Self::Denied, Self::Available, Self::Default, Self::Required];
        let found = all.into_iter().find(|e| e.as_str() == text);
        found.ok_or_else(|| Error::internal(format!("effect `{text}` in the database")))
    }
}

/// The least mature stage that a rule allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxStage {
    /// Everything that is not withdrawn.
    Alpha,
    /// Also what is being tried.
    Preview,
    /// What is released, also when its end is announced.
    #[default]
    Live,
}

impl MaxStage {
    /// As stored, and as in the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Preview => "preview",
            Self::Live => "live",
        }
    }
}

impl TryFrom<String> for MaxStage {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let found = [Self::Alpha, Self::Preview, Self::Live].into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| Error::internal(format!("stage ceiling `{text}` in the database")))
    }
}

/// A rule: what holders of a role may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Entitlement {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: EntitlementId,
    /// Last segment of the name.
    pub slug: Slug,
    /// Whom it concerns; none means everybody.
    pub role_id: Option<RoleId>,
    /// The same, by id in names.
    pub role_slug: Option<Slug>,
    /// Marketplace that it concerns, or that lists the plugin that it concerns; none for a plugin group.
    pub marketplace_id: Option<MarketplaceId>,
    /// Plugin that it concerns; none means all of the marketplace or of the group.
    pub plugin_id: Option<PluginId>,
    /// App of the plugin that it concerns, by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Skill of the plugin that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// Plugin group that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin_group_id: Option<PluginGroupId>,
    /// The same, as a name.
    pub target: String,
    /// What happens.
    #[sqlx(try_from = "String")]
    pub effect: Effect,
    /// Least mature stage that it allows.
    #[sqlx(try_from = "String")]
    pub max_stage: MaxStage,
    /// From when, inclusive.
    pub not_before: Option<Time>,
    /// Until when, exclusive.
    pub not_after: Option<Time>,
    /// Why.
    pub reason: String,
    /// Whether only the tenant's owner and compliance may take it away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub floor: bool,
    /// Pool of which a seat must be held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat_pool_id: Option<SeatPoolId>,
    /// The same, by id in names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat_pool_slug: Option<Slug>,
    /// Counts changes, from 1.
    pub revision: i64,
    /// When it was created.
    pub create_time: Time,
    /// When it last changed; none for one that never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_time: Option<Time>,
}

/// What a caller says of a new entitlement.
#[derive(Clone, Debug)]
pub struct NewEntitlement {
    /// Last segment of the name; empty lets the server choose.
    pub id: String,
    /// Name of the role, or `*`.
    pub role: String,
    /// Name of the marketplace, plugin, part of a plugin or plugin group.
    pub target: String,
    /// What happens.
    pub effect: Effect,
    /// Least mature stage that it allows.
    pub max_stage: MaxStage,
    /// From when, inclusive.
    pub not_before: Option<Time>,
    /// Until when, exclusive.
    pub not_after: Option<Time>,
    /// Why.
    pub reason: String,
    /// Whether only the tenant's owner and compliance may take it away.
    pub floor: bool,
    /// Name of the pool of which a seat must be held; empty asks for none.
    pub seat_pool: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct EntitlementPatch {
    /// Least mature stage that it allows.
    pub max_stage: Option<MaxStage>,
    /// Name of the pool of which a seat must be held; empty asks for none.
    pub seat_pool: Option<String>,
    /// From when, inclusive.
    pub not_before: Option<Option<Time>>,
    /// Until when, exclusive.
    pub not_after: Option<Option<Time>>,
    /// Why.
    pub reason: Option<String>,
}

/// A role that was found; none stands for everybody.
pub type Whom = Option<(RoleId, Slug)>;

/// A seat pool that was found; none asks for no seat.
pub type Pool = Option<(SeatPoolId, Slug)>;

/// A target that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All of a marketplace.
    Marketplace(MarketplaceId),
    /// A plugin, or a part of it.
    Plugin(MarketplaceId, PluginId, Part),
    /// The plugins of a group.
    PluginGroup(PluginGroupId),
}

/// What of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// One app, by key.
    App(String),
    /// One skill.
    Skill(String),
}

impl Resource for Entitlement {
    const KIND: &'static str = "entitlement";
    // people write names into reasons
    const PERSONAL: &'static [&'static str] = &["reason"];

    fn name(&self) -> String {
        name(&self.tenant_slug, self.slug.as_str())
    }
}

/// The name of a tenant's entitlement.
pub fn name(tenant: &Slug, slug: &str) -> String {
    format!("tenants/{tenant}/entitlements/{slug}")
}

impl NewEntitlement {
    /// Checks all that can be checked without looking anything up.
    pub fn check(&self) -> Result<()> {
        let mut checks = Checks::new();
        terms(&mut checks, &self.reason, (self.not_before, self.not_after));
        seated(&mut checks, self.effect, !self.seat_pool.is_empty());
        checks.that(
            "entitlement.floor",
            !self.floor || self.effect == Effect::Denied,
            "must forbid: set `effect` to DENIED, or write an ordinary rule",
        );
        checks.done()
    }
}

/// Checks what both a new and a changed rule say.
fn terms(checks: &mut Checks, reason: &str, (not_before, not_after): (Option<Time>, Option<Time>)) {
    checks.text("entitlement.reason", reason, 0, 512);
    let window = not_before.zip(not_after).is_none_or(|(from, until)| until > from);
    checks.that(
        "entitlement.not_after",
        window,
        "must be later than `not_before`; leave either unset for no bound",
    );
}

/// A seat cannot be what forbids.
fn seated(checks: &mut Checks, effect: Effect, seat: bool) {
    checks.that(
        "entitlement.seat_pool",
        !seat || effect != Effect::Denied,
        "goes with a rule that allows: a rule that forbids holds with and without a seat; leave it empty",
    );
}

impl Entitlement {
    /// A new entitlement for `whom` to `target`, with a seat of `pool`.
    pub fn create(
        tenant: &TenantRef,
        new: NewEntitlement,
        (whom, target, pool): (Whom, Target, Pool),
        id: EntitlementId,
        now: Time,
    ) -> Result<Self> {
        new.check()?;
        let slug = if new.id.is_empty() { derived_slug(id) } else { new.id };
        let (role_id, role_slug) = whom.unzip();
        let (seat_pool_id, seat_pool_slug) = pool.unzip();
        let (marketplace_id, plugin_id, part, plugin_group_id) = match target {
            Target::Marketplace(id) => (Some(id), None, Part::Whole, None),
            Target::Plugin(marketplace, plugin, part) => (Some(marketplace), Some(plugin), part, None),
            Target::PluginGroup(id) => (None, None, Part::Whole, Some(id)),
        };
        let (app, skill) = match part {
            Part::Whole => (None, None),
            Part::App(key) => (Some(key), None),
            Part::Skill(skill) => (None, Some(skill)),
        };
        Ok(Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("entitlement_id", &slug)?,
            role_id,
            role_slug,
            marketplace_id,
            plugin_id,
            app,
            skill,
            plugin_group_id,
            target: new.target,
            effect: new.effect,
            max_stage: new.max_stage,
            not_before: new.not_before,
            not_after: new.not_after,
            reason: new.reason,
            floor: new.floor,
            seat_pool_id,
            seat_pool_slug,
            revision: 1,
            create_time: now,
            update_time: None,
        })
    }

    /// The rule with other terms; `pool` is what the patch's name stands for.
    pub fn patched(&self, patch: EntitlementPatch, pool: Pool, now: Time) -> Result<Self> {
        let mut after = self.clone();
        after.revision += 1;
        // never back in time, whatever the machine's clock does
        after.update_time = Some(now.max(self.update_time.unwrap_or(self.create_time)));
        after.max_stage = patch.max_stage.unwrap_or(after.max_stage);
        after.not_before = patch.not_before.unwrap_or(after.not_before);
        after.not_after = patch.not_after.unwrap_or(after.not_after);
        after.reason = patch.reason.unwrap_or(after.reason);
        if patch.seat_pool.is_some() {
            (after.seat_pool_id, after.seat_pool_slug) = pool.unzip();
        }
        let mut checks = Checks::new();
        terms(&mut checks, &after.reason, (after.not_before, after.not_after));
        seated(&mut checks, after.effect, after.seat_pool_id.is_some());
        checks.done().map(|()| after)
    }

    /// The role's name, or `*`.
    pub fn role(&self) -> String {
        match &self.role_slug {
            Some(role) => format!("tenants/{}/roles/{role}", self.tenant_slug),
            None => EVERYBODY.to_owned(),
        }
    }

    /// Name of the pool of which a seat must be held, or empty.
    pub fn seat_pool(&self) -> String {
        let pool = self.seat_pool_slug.as_ref();
        pool.map_or_else(String::new, |pool| seat_pool::model::name(&self.tenant_slug, pool.as_str()))
    }

    /// The etag.
    pub fn etag(&self) -> String {
        stamp::etag(self.revision)
    }

    /// Refuses a stale etag; an empty one is not checked.
    pub fn matches(&self, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            Ok(())
        } else {
            Err(Error::EtagStale { name: self.name() })
        }
    }
}

/// `e-` and the last twelve hex digits of the id: the part that does not say when it was made.
fn derived_slug(id: EntitlementId) -> String {
    let hex = id.0.simple().to_string();
    format!("e-{}", hex.get(20..).unwrap_or(&hex))
}

#[cfg(test)]
mod tests;
