//! The facts as they are in the tables now.

use catalog::model::PluginRef;
use kernel::{
    Result,
    clock::Time,
    db::Reader,
    ids::{PrincipalId, Slug},
    scope::TenantRef,
};
use tenancy::{
    holding::roles_with_included,
    principal::{self, model::Principal},
};

use super::{
    model::Rule,
    store,
    verdict::{Asked, Facts, Wanted},
};

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

    async fn plugin(&mut self, name: &str) -> Result<Option<(Wanted, PluginRef)>> {
        let found = catalog::ops::plugin_find(&mut self.db, name).await?;
        let now = self.now;
        let wanted = |p: &PluginRef| Wanted {
            marketplace: p.marketplace_slug.clone(),
            plugin: p.plugin_slug.clone(),
            stage: p.stage.at(p.sunset_time, now),
        };
        Ok(found.map(|p| (wanted(&p), p)))
    }

    async fn roles(&mut self, principal: PrincipalId) -> Result<Vec<Slug>> {
        let held = roles_with_included(&mut self.db, self.tenant.id, principal).await?;
        Ok(held.into_iter().map(|role| role.slug).collect())
    }

    async fn rules(&mut self, plugin: &PluginRef) -> Result<Vec<Rule>> {
        store::rule_list(&mut self.db, self.tenant.id, plugin.marketplace_id, plugin.plugin_id).await
    }
}
