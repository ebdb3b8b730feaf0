//! The use cases of mirror links.

use kernel::{
    Ctx, Result,
    db::list::{ListQuery, Page},
    error::Error,
    name,
};
use proto::audit::v1 as pb;

use super::{
    CREATE, LIST, REVOKE,
    http::LINK,
    model::{LinkSecret, MirrorLink, MirrorLinkId},
    store,
};

/// Makes a link to the log of `parent`; its path is empty when only permission and input were checked.
pub async fn link_create(
    ctx: &Ctx,
    parent: &str,
    new: pb::MirrorLink,
) -> Result<pb::CreateMirrorLinkResponse> {
    let scope = ctx.scope("parent", parent).await?;
    let permit = ctx.authorize(CREATE, &scope).await?;
    let link = MirrorLink::create(&scope, new.try_into()?, MirrorLinkId(ctx.new_id()), ctx.now())?;
    let secret = LinkSecret::generate()?;
    let mut tx = ctx.begin(&permit).await?;
    store::link_insert(&mut tx, &link, &secret.digest).await?;
    tx.commit(permit.audit().target(&link).after(&link)).await?;
    let path = if ctx.validate_only() { String::new() } else { format!("{LINK}{}", secret.text) };
    Ok(pb::CreateMirrorLinkResponse { mirror_link: Some(link.into()), path })
}

/// Lists the links to one log.
pub async fn link_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<Page<MirrorLink>> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    store::link_list(&mut ctx.read().await?, &scope, query, &ctx.kernel().page_key).await
}

/// Revokes a link.
pub async fn link_revoke(ctx: &Ctx, name: &str) -> Result<MirrorLink> {
    let (parent, id) = name::parse_uuid("name", "mirrorLinks", name)?;
    let scope = ctx.scope("name", parent).await?;
    let permit = ctx.authorize(REVOKE, &scope).await?;
    let mut tx = ctx.begin(&permit).await?;
    if let Some(first) = tx.replayed()? {
        return Ok(first);
    }
    let before =
        store::link_get(&mut tx, &scope, id).await?.ok_or_else(|| Error::not_found("mirror_link", name))?;
    let after = before.revoked(ctx.now())?;
    if store::link_revoke(&mut tx, &after, ctx.now()).await? == 0 {
        return Err(Error::Conflict);
    }
    tx.commit(permit.audit().target(&after).before(&before).after(&after)).await?;
    Ok(after)
}
