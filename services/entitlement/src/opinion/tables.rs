//! The facts as they are in the tables now.

use catalog::model::PluginRef;
use kernel::{
    Result,
    clock::Time,
    db::Reader,
    ids::{PrincipalId, Slug, TenantId},
    scope::TenantRef,
};
use tenancy::{
    holding::roles_with_included,
    principal::{self, model::Principal},
};

use crate::{decision::facts::store::plugin_list, entitlement::model::Part};

use super::{
    model::Rule,
    store,
    verdict::{Asked, Facts, Wanted},
};
use crate::stage_override::model::effective;

/// A tenant in the tables.
pub struct Tables<'t> {
    /// A connection, best on a snapshot.
    pub db: Reader,
    /// Whose.
    pub tenant: &'t TenantRef,
    /// When.
    pub now: Time,
}

impl Facts for Tables<'_> {
    type Plugin = PluginRef;

    fn tenant(&self) -> &Slug {
        &self.tenant.slug
    }

    fn is_frozen(&self) -> bool {
        matches!(self.tenant.state.as_str(), "suspended" | "closed")
    }

    async fn principal(&mut self, slug: &Slug) -> Result<Option<Asked>> {
        let found = principal::ops::find(&mut self.db, self.tenant.id.0, slug).await?;
        let asked = |p: Principal| Asked {
            id: p.id,
            slug: p.slug,
            kind: p.kind,
            state: p.state,
            owner: p.owner_slug,
        };
        Ok(found.map(asked))
    }

    async fn plugin(&mut self, name: &str, part: &Part) -> Result<Option<(Wanted, PluginRef)>> {
        if *part != Part::Whole && !has_part(&mut self.db, self.tenant.id, name, part).await? {
            return Ok(None);
        }
        let found = catalog::ops::plugin_find(&mut self.db, name).await?;
        let Some(plugin) = found else { return Ok(None) };
        let own = store::own_get(&mut self.db, self.tenant.id, &plugin).await?;
        let wanted = Wanted {
            marketplace: plugin.marketplace_slug.clone(),
            plugin: plugin.plugin_slug.clone(),
            stage: effective(plugin.stage.at(plugin.sunset_time, self.now), own.stage),
            is_ready: own.is_ready(),
        };
        Ok(Some((wanted, plugin)))
    }

    async fn roles(&mut self, principal: PrincipalId) -> Result<Vec<Slug>> {
        let held = roles_with_included(&mut self.db, self.tenant.id, principal).await?;
        Ok(held.into_iter().map(|role| role.slug).collect())
    }

    async fn rules(&mut self, plugin: &PluginRef) -> Result<Vec<Rule>> {
        store::rule_list(&mut self.db, self.tenant.id, plugin).await
    }

    async fn plugin_groups(&mut self, plugin: &PluginRef) -> Result<Vec<Slug>> {
        store::plugin_group_list(&mut self.db, self.tenant.id, plugin).await
    }

    async fn seats(&mut self, principal: PrincipalId) -> Result<Vec<Slug>> {
        store::seat_pool_list(&mut self.db, self.tenant.id, principal).await
    }
}

/// Whether the plugin of that name is listed and has the part.
async fn has_part(db: &mut Reader, tenant: TenantId, name: &str, part: &Part) -> Result<bool> {
    let found = plugin_list(db, tenant, Some(name)).await?.pop();
    Ok(found.is_some_and(|plugin| match part {
        Part::Whole => true,
        Part::App(app) => plugin.apps.contains(app),
        Part::Skill(skill) => plugin.skills.contains(skill),
    }))
}
