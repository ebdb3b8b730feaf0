//! The use cases of partners.

use kernel::{
    Ctx, Error, Result,
    audit::Resource as _,
    authz::{Action, Class},
    db::{
        Executor,
        list::{ListQuery, Page},
        tx::Tx,
    },
    ids::{PartnerId, Slug},
    name,
    scope::{Scope, ScopeKind},
};

use super::{
    activity::Activity,
    model::{NewPartner, Partner, PartnerPatch, Portfolio},
    store,
};
use crate::tenant::store as tenants;

const PLATFORM: &[ScopeKind] = &[ScopeKind::Platform];
const PARTNER: &[ScopeKind] = &[ScopeKind::Partner];
const fn action(rpc: &'static str, verb: &'static str, class: Class, scopes: &'static [ScopeKind]) -> Action {
    Action { rpc, noun: "partner", verb, class, scopes }
}
const CREATE: Action =
    action("provost.partner.v1.PartnerService/CreatePartner", "create", Class::Write, PLATFORM);
const GET: Action = action("provost.partner.v1.PartnerService/GetPartner", "get", Class::Read, PARTNER);
const LIST: Action = action(
    "provost.partner.v1.PartnerService/ListPartners",
    "list",
    Class::Read,
    &[ScopeKind::Platform, ScopeKind::Partner],
);
const UPDATE: Action =
    action("provost.partner.v1.PartnerService/UpdatePartner", "update", Class::Write, PARTNER);
const DELETE: Action =
    action("provost.partner.v1.PartnerService/DeletePartner", "delete", Class::Write, PARTNER);
const UNDELETE: Action =
    action("provost.partner.v1.PartnerService/UndeletePartner", "undelete", Class::Write, PARTNER);
const PORTFOLIO: Action =
    action("provost.partner.v1.PartnerService/GetPortfolio", "portfolio", Class::Read, PARTNER);
/// What partners can be asked for.
pub const ACTIONS: &[Action] = &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, PORTFOLIO];

/// Creates a partner.
pub async fn partner_create(ctx: &Ctx, new: NewPartner) -> Result<Partner> {
    let permit = ctx.authorize(CREATE, &Scope::Platform).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let partner = Partner::create(new, PartnerId(ctx.new_id()), ctx.now())?;
    store::partner_insert(&mut tx, &partner).await?;
    tx.commit(permit.audit().target(&partner).after(&partner).also_in(partner.id.0)).await?;
    Ok(partner)
}

/// Returns a partner, deleted or not.
pub async fn partner_get(ctx: &Ctx, name: &str) -> Result<Partner> {
    let partner = find(&mut ctx.read().await?, name).await?;
    ctx.authorize(GET, &partner.scope()).await?;
    Ok(partner)
}

/// Lists the partners that the caller may know of: all for the platform's people, its own for a partner's.
pub async fn partner_list(ctx: &Ctx, query: &ListQuery) -> Result<Page<Partner>> {
    let within = match &ctx.caller().home {
        own @ Scope::Partner(_) => own,
        // a tenant's people hold no duty on the platform, so they are refused
        _ => &Scope::Platform,
    };
    ctx.authorize(LIST, within).await?;
    store::partner_list(&mut ctx.read().await?, within, query, &ctx.kernel().page_key).await
}

/// Changes the words of a partner.
pub async fn partner_update(ctx: &Ctx, name: &str, etag: &str, patch: PartnerPatch) -> Result<Partner> {
    change(ctx, UPDATE, name, etag, |partner| partner.patched(patch, ctx.now())).await
}

/// Deletes a partner that has no living tenants; its people cannot authenticate until it is undeleted.
pub async fn partner_delete(ctx: &Ctx, name: &str, etag: &str) -> Result<Partner> {
    change(ctx, DELETE, name, etag, |partner| partner.deleted(ctx.now())).await
}

/// Brings a deleted partner back.
pub async fn partner_undelete(ctx: &Ctx, name: &str, etag: &str) -> Result<Partner> {
    change(ctx, UNDELETE, name, etag, |partner| partner.undeleted(ctx.now())).await
}

/// Counts the partner's tenants, contracted seats and weekly active principals by stage.
pub async fn partner_portfolio(ctx: &Ctx, activity: &dyn Activity, name: &str) -> Result<Portfolio> {
    let partner = find(&mut ctx.read().await?, name).await?;
    ctx.authorize(PORTFOLIO, &partner.scope()).await?;
    let clients = store::partner_select_standings(&mut ctx.read().await?, partner.id).await?;
    let ids: Vec<_> = clients.iter().map(|client| client.id).collect();
    let active = activity.weekly_active(ctx, &ids).await?;
    Ok(Portfolio::count(partner.name(), &clients, &active))
}

/// What all changes share: read, compare etags, apply, write, settle, record.
async fn change(
    ctx: &Ctx,
    action: Action,
    name: &str,
    etag: &str,
    apply: impl FnOnce(&Partner) -> Result<Partner>,
) -> Result<Partner> {
    let scope = find(&mut ctx.read().await?, name).await?.scope();
    let permit = ctx.authorize(action, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before = find(&mut tx, name).await?;
    before.stamp.matches(etag, name)?;
    let after = apply(&before)?;
    store::partner_update(&mut tx, &after).await?;
    settle(&mut tx, &after).await?;
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}

/// A deleted partner has no living tenants. Checked after the write, which a tenant that appears meanwhile waits for.
async fn settle(tx: &mut Tx<'_>, after: &Partner) -> Result<()> {
    if after.stamp.delete_time.is_none() {
        return Ok(());
    }
    match tenants::tenant_count_of_partner(tx, after.id).await? {
        0 => Ok(()),
        n => {
            let name = after.name();
            let message =
                format!("`{name}` still has tenants ({n}); only a partner without any can be deleted");
            Err(Error::still_in_use(name, message))
        }
    }
}

/// The partner of that name, deleted or not, or `NOT_FOUND`. Scopes are found among the living only; a deleted partner is
/// still read and undeleted.
async fn find(db: &mut impl Executor, name: &str) -> Result<Partner> {
    let [slug]: [Slug; 1] = name::parse("name", "partners/{}", name)?;
    store::partner_get(db, &slug).await?.ok_or_else(|| Error::not_found("partner", name))
}
