//! What a stage override is, without any I/O.

use catalog::model::{MarketplaceId, Plugin, PluginId, Stage};
use kernel::{
    Error, Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    ids::{Slug, TenantId},
    scope::TenantRef,
    stamp, uuid_id,
};
use serde::{Deserialize, Serialize};

uuid_id! {
    /// Identity of a stage override.
    OverrideId;
}

/// How strict a stage is: the more, the fewer rules allow a plugin of it. This is the one place that says so.
pub fn strictness(stage: Stage) -> u8 {
    match stage {
        Stage::Live => 0,
        // used like what is live, and its end is announced
        Stage::Deprecated => 1,
        Stage::Preview => 2,
        Stage::Alpha => 3,
        Stage::Withdrawn => 4,
    }
}

/// The stage that counts in a tenant: the stricter of the platform's and its own.
pub fn effective(platform: Stage, own: Option<Stage>) -> Stage {
    match own {
        Some(own) if strictness(own) > strictness(platform) => own,
        _ => platform,
    }
}

/// A stage that a tenant holds a plugin to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct StageOverride {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// Identity.
    pub id: OverrideId,
    /// Last segment of the name.
    pub slug: Slug,
    /// Marketplace of the plugin.
    pub marketplace_id: MarketplaceId,
    /// The plugin.
    pub plugin_id: PluginId,
    /// The same, as a name.
    pub plugin: String,
    /// The stage.
    #[sqlx(try_from = "String")]
    pub stage: Stage,
    /// Why.
    pub reason: String,
    /// The platform's stage of the plugin's current version.
    #[sqlx(try_from = "String")]
    pub platform_stage: Stage,
    /// Counts changes, from 1.
    pub revision: i64,
    /// When it was created.
    pub create_time: Time,
    /// When it last changed.
    pub update_time: Time,
}

/// What a caller says of a new override.
#[derive(Clone, Debug)]
pub struct NewOverride {
    /// Last segment of the name; empty lets the server choose.
    pub id: String,
    /// Name of the plugin.
    pub plugin: String,
    /// The stage.
    pub stage: Stage,
    /// Why.
    pub reason: String,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct OverridePatch {
    /// The stage.
    pub stage: Option<Stage>,
    /// Why.
    pub reason: Option<String>,
}

impl Resource for StageOverride {
    const KIND: &'static str = "stage_override";
    // people write names into reasons
    const PERSONAL: &'static [&'static str] = &["reason"];

    fn name(&self) -> String {
        name(&self.tenant_slug, self.slug.as_str())
    }
}

/// The name of a tenant's override.
pub fn name(tenant: &Slug, slug: &str) -> String {
    format!("tenants/{tenant}/stageOverrides/{slug}")
}

impl StageOverride {
    /// A new override for a plugin.
    pub fn create(
        tenant: &TenantRef,
        new: NewOverride,
        plugin: &Plugin,
        id: OverrideId,
        now: Time,
    ) -> Result<Self> {
        let slug = if new.id.is_empty() { derived_slug(id) } else { new.id };
        let made = Self {
            tenant_id: tenant.id,
            tenant_slug: tenant.slug.clone(),
            id,
            slug: Slug::parse("stage_override_id", &slug)?,
            marketplace_id: plugin.marketplace_id,
            plugin_id: plugin.id,
            plugin: new.plugin,
            stage: new.stage,
            reason: new.reason,
            platform_stage: plugin.stage,
            revision: 1,
            create_time: now,
            update_time: now,
        };
        made.not_looser()?;
        made.checked()
    }

    /// The override after a change. One that has become looser than the platform's stage may keep its stage.
    pub fn patched(&self, patch: OverridePatch, now: Time) -> Result<Self> {
        let next = Self {
            stage: patch.stage.unwrap_or(self.stage),
            reason: patch.reason.unwrap_or_else(|| self.reason.clone()),
            revision: self.revision + 1,
            update_time: now.max(self.update_time),
            ..self.clone()
        };
        if next.stage != self.stage {
            next.not_looser()?;
        }
        next.checked()
    }

    /// Whether the stage `to` would let more through than this one.
    pub fn is_loosened_by(&self, to: Option<Stage>) -> bool {
        to.is_some_and(|to| strictness(to) < strictness(self.stage))
    }

    /// Whether it is stricter than the platform's stage.
    pub fn counts(&self) -> bool {
        strictness(self.stage) > strictness(self.platform_stage)
    }

    /// The stage that counts in the tenant.
    pub fn effective_stage(&self) -> Stage {
        effective(self.platform_stage, Some(self.stage))
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

    fn not_looser(&self) -> Result<()> {
        if strictness(self.stage) >= strictness(self.platform_stage) {
            return Ok(());
        }
        let word = |stage: Stage| stage.as_str().to_uppercase();
        let message = format!(
            "`{}` is {} on the platform, and {} is looser: a tenant can only be stricter; choose a stricter stage, or none",
            self.plugin,
            word(self.platform_stage),
            word(self.stage)
        );
        Err(Error::illegal_state(&self.plugin, message))
    }

    fn checked(self) -> Result<Self> {
        let mut checks = Checks::new();
        checks.text("stage_override.reason", &self.reason, 0, 512);
        checks.done().map(|()| self)
    }
}

/// `s-` and the last twelve hex digits of the id: the part that does not say when it was made.
fn derived_slug(id: OverrideId) -> String {
    let hex = id.0.simple().to_string();
    format!("s-{}", hex.get(20..).unwrap_or(&hex))
}

#[cfg(test)]
mod tests {
    use ::decision::MaxStage;
    use uuid::Uuid;

    use super::*;
    use crate::decision::facts::store::engine_stage;

    const ORDER: [Stage; 5] =
        [Stage::Live, Stage::Deprecated, Stage::Preview, Stage::Alpha, Stage::Withdrawn];

    fn held(platform: Stage, own: Stage) -> StageOverride {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        StageOverride {
            tenant_id: TenantId(Uuid::nil()),
            tenant_slug: slug("acme"),
            id: OverrideId(Uuid::nil()),
            slug: slug("s"),
            marketplace_id: MarketplaceId(Uuid::nil()),
            plugin_id: PluginId(Uuid::nil()),
            plugin: "marketplaces/m/plugins/p".to_owned(),
            stage: own,
            reason: String::new(),
            platform_stage: platform,
            revision: 1,
            create_time: Time::from_micros(1),
            update_time: Time::from_micros(1),
        }
    }

    #[test]
    fn from_live_to_withdrawn_every_stage_is_stricter_than_the_one_before() {
        assert!(ORDER.is_sorted_by(|a, b| strictness(*a) < strictness(*b)));
        assert_eq!(ORDER.len(), Stage::ALL.len());
        // and no ceiling admits a stricter stage without admitting the looser ones
        for ceiling in [MaxStage::Live, MaxStage::Preview, MaxStage::Alpha] {
            let admitted = ORDER.map(|stage| ceiling.admits(engine_stage(stage)));
            assert!(admitted.is_sorted_by(|looser, stricter| looser >= stricter), "{ceiling:?} {admitted:?}");
        }
    }

    #[test]
    fn the_stricter_stage_counts_whoever_set_it() {
        for (at, platform) in ORDER.into_iter().enumerate() {
            assert_eq!(effective(platform, None), platform);
            for (own_at, own) in ORDER.into_iter().enumerate() {
                assert_eq!(effective(platform, Some(own)), ORDER[at.max(own_at)], "{platform:?} {own:?}");
                assert_eq!(held(platform, own).not_looser().is_ok(), own_at >= at, "{platform:?} {own:?}");
            }
        }
    }

    #[test]
    fn an_override_that_the_platform_overtook_keeps_its_stage_and_takes_no_looser_one() {
        let overtaken = held(Stage::Alpha, Stage::Preview);
        let to = |stage, reason: &str| OverridePatch { stage, reason: Some(reason.to_owned()) };
        let now = Time::from_micros(0);
        let next = overtaken.patched(to(Some(Stage::Preview), "still"), now).unwrap();
        assert_eq!(
            (next.revision, next.update_time, next.reason.as_str()),
            (2, overtaken.update_time, "still")
        );
        assert!(overtaken.patched(to(Some(Stage::Withdrawn), ""), now).is_ok());
        assert!(overtaken.patched(to(Some(Stage::Deprecated), ""), now).is_err());
        assert!(overtaken.patched(to(None, &"ä".repeat(512)), now).is_ok());
        assert!(overtaken.patched(to(None, &"ä".repeat(513)), now).is_err());
        assert!(overtaken.is_loosened_by(Some(Stage::Deprecated)));
        assert!(!overtaken.is_loosened_by(Some(Stage::Preview)) && !overtaken.is_loosened_by(None));
    }

    #[test]
    fn a_derived_id_says_nothing_of_the_time() {
        let id = OverrideId("0197a1b2-0000-7000-8000-00c0ffee1234".parse().unwrap());
        assert_eq!(derived_slug(id), "s-00c0ffee1234");
    }
}
