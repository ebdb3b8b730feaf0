//! The use cases of observations.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    clock::Time,
    db::{
        list::{ListQuery, Page},
        tx::Tx,
    },
    ids::{PrincipalId, TenantId},
    scope::ScopeKind,
};
use uuid::Uuid;

use super::{
    model::{
        Observation, PluginSeen, PluginSighting, Seen, SettingsObservation, SettingsSeen, UnapprovedPlugin,
    },
    store::{self, Span},
};

/// Most plugins, versions told apart, that are kept of one principal; and most settings. What is more is not stored, so that
/// nobody's client can fill the store.
pub const MAX_SIGHTINGS: i64 = 2_000;
/// See [`MAX_SIGHTINGS`].
pub const MAX_SETTINGS: i64 = 200;

const fn action(rpc: &'static str, noun: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun, verb, class: Class::Read, scopes: &[ScopeKind::Tenant] }
}
const UNAPPROVED: Action =
    action("provost.usage.v1.UsageService/ListUnapprovedPlugins", "plugin_sighting", "unapproved");
const SIGHTINGS: Action =
    action("provost.usage.v1.UsageService/ListPluginSightings", "plugin_sighting", "list");
const SETTINGS: Action =
    action("provost.usage.v1.UsageService/ListSettingsObservations", "settings_observation", "list");
/// What observations can be asked for.
pub const ACTIONS: &[Action] = &[UNAPPROVED, SIGHTINGS, SETTINGS];

/// Stores what was seen, in the transaction that stores the events which say so. Seeing it again only moves its last time, so a
/// repetition changes nothing.
pub async fn observations_store(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    mut new_id: impl FnMut() -> Uuid,
    seen: &[Seen<'_>],
) -> Result<()> {
    let (mut plugins, mut sightings, mut settings) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for one in seen {
        let principal = one.principal.unwrap_or(PrincipalId(Uuid::nil()));
        match one.observation {
            Observation::Plugin(plugin) => {
                span(&mut plugins, (&*plugin.hash, one.client), one, principal, plugin, &mut new_id);
                let key = (&*plugin.hash, one.client, principal, &*plugin.version);
                span(&mut sightings, key, one, principal, plugin, &mut new_id);
            }
            Observation::Settings(found) => {
                let key =
                    (principal, one.client, &*found.resolved_sha256, &*found.sources, &*found.helper_state);
                span(&mut settings, key, one, principal, found, &mut new_id);
            }
        }
    }
    let principals: BTreeSet<_> =
        seen.iter().map(|s| s.principal.unwrap_or(PrincipalId(Uuid::nil()))).collect();
    let mut full = BTreeMap::new();
    for principal in principals {
        let (sightings, settings) = store::observation_count(tx, tenant, principal).await?;
        full.insert(principal, (sightings >= MAX_SIGHTINGS, settings >= MAX_SETTINGS));
    }
    let room = |principal: &PrincipalId| full.get(principal).copied().unwrap_or_default();
    // maps are sorted, so two transactions that overlap wait for each other in no circle
    let sightings: Vec<_> =
        sightings.into_values().filter(|s: &Span<'_, PluginSeen>| !room(&s.principal).0).collect();
    let plugins: Vec<_> =
        plugins.into_values().filter(|s: &Span<'_, PluginSeen>| !room(&s.principal).0).collect();
    let settings: Vec<_> =
        settings.into_values().filter(|s: &Span<'_, SettingsSeen>| !room(&s.principal).1).collect();
    store::seen_plugin_put_all(tx, tenant, &plugins).await?;
    store::plugin_sighting_put_all(tx, tenant, &sightings).await?;
    store::settings_put_all(tx, tenant, &settings).await
}

/// Adds to what was seen under `key`. What is told by name says more than what is not.
fn span<'o, K: Ord, T: Told>(
    spans: &mut BTreeMap<K, Span<'o, T>>,
    key: K,
    seen: &Seen<'o>,
    principal: PrincipalId,
    what: &'o T,
    new_id: &mut impl FnMut() -> Uuid,
) {
    let time: Time = seen.time;
    let span = spans.entry(key).or_insert_with(|| Span {
        id: new_id(),
        client: seen.client,
        principal,
        what,
        first: time,
        last: time,
    });
    span.first = time.min(span.first);
    span.last = time.max(span.last);
    if what.by_name() {
        span.what = what;
    }
}

/// Whether something says its name.
trait Told {
    fn by_name(&self) -> bool;
}

impl Told for PluginSeen {
    fn by_name(&self) -> bool {
        self.is_named()
    }
}

impl Told for SettingsSeen {
    fn by_name(&self) -> bool {
        false
    }
}

/// Plugins that people of `parent` have and that no marketplace of the catalogue lists.
pub async fn unapproved_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<UnapprovedPlugin>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(UNAPPROVED, &scope).await?;
    store::unapproved_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}

/// Who of `parent` has which plugins.
pub async fn plugin_sighting_list(
    ctx: &Ctx,
    parent: &str,
    query: &ListQuery,
) -> Result<Page<PluginSighting>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(SIGHTINGS, &scope).await?;
    store::plugin_sighting_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key)
        .await
}

/// Which managed settings the assistants of `parent` follow.
pub async fn settings_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<SettingsObservation>> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(SETTINGS, &scope).await?;
    store::settings_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await
}
