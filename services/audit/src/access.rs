//! Who could use what at a moment: the log folded up to it, and asked like the tables are asked now.

use std::sync::Arc;

use kernel::{
    Ctx, Kernel, Result,
    authz::{Action, Class},
    clock::Time,
    error::Error,
    hash, name,
    page::{self, Cursor},
    scope::{Scope, ScopeKind, TenantRef},
};
use proto::audit::v1 as pb;
use quick_cache::{Weighter, sync::Cache};
use uuid::Uuid;

use crate::{Sequencer, fold::Fold};

pub mod list;
pub mod past;

use list::{Place, Wish};
use past::Past;

const AS_OF: Action = Action {
    rpc: "provost.audit.v1.AuditService/ListAccessAsOf",
    noun: "audit",
    verb: "as_of",
    class: Class::Read,
    scopes: &[ScopeKind::Tenant],
};
/// What can be asked for.
pub const ACTIONS: &[Action] = &[AS_OF];

/// Rows of all remembered pasts together.
const REMEMBERED: u64 = 200_000;

/// Tenant, moment, and how far the tenant's and the platform's logs are folded: what a past never changes for.
type Key = (Uuid, Time, i64, i64);

/// Pasts that were folded: the pages of one answer need the same one.
pub struct Pasts(Cache<Key, Arc<Past>, Rows>);

impl Default for Pasts {
    fn default() -> Self {
        Self(Cache::with_weighter(256, REMEMBERED, Rows))
    }
}

/// A past weighs what it holds.
#[derive(Clone)]
struct Rows;

impl Weighter<Key, Arc<Past>> for Rows {
    fn weight(&self, _: &Key, past: &Arc<Past>) -> u64 {
        past.rows() as u64
    }
}

/// Lists who could use what in a tenant at a moment, and records that it was asked.
pub async fn access_list(
    ctx: &Ctx,
    log: &Sequencer,
    request: pb::ListAccessAsOfRequest,
) -> Result<pb::ListAccessAsOfResponse> {
    let scope = ctx.tenant("parent", &request.parent).await?;
    let permit = ctx.authorize(AS_OF, &scope).await?;
    let tenant = scope.tenant()?;
    let moment = moment(ctx, request.time)?;
    let wish = Wish::new(tenant, &request.principal, &request.plugin)?;
    let limit = page::size(request.page_size)?;
    let asked = format!("access|{}|{moment}|{}|{}", tenant.id, request.principal, request.plugin);
    let question = hash::short_hex(asked.as_bytes());
    let key = &ctx.kernel().page_key;
    let (size, platform, after) = match request.page_token.as_str() {
        "" => (log.catch_up(scope.id()).await?.size, log.catch_up(Uuid::nil()).await?.size, None),
        token => continued(&key.open(&question, token)?)?,
    };
    let past = past(ctx.kernel(), log, tenant, moment, (size, platform)).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (access, last) = list::page(&past, &wish, after.as_ref(), limit).await?;
    let next_page_token = match last {
        Some(place) => key.seal(&question, cursor(size, platform, &place))?,
        None => String::new(),
    };
    if request.page_token.is_empty() {
        let asked = asked_for(moment, &request);
        let audit = permit.audit().also("tenant", scope.to_string()).query(&asked);
        log.reading().reads.record(ctx, (&AS_OF, &permit), audit, &asked).await?;
    }
    Ok(pb::ListAccessAsOfResponse { access, next_page_token, as_of_size: size })
}

/// The question, for the record.
fn asked_for(moment: Time, request: &pb::ListAccessAsOfRequest) -> String {
    let mut text = format!("time = \"{moment}\"");
    for (field, value) in [("principal", &request.principal), ("plugin", &request.plugin)] {
        if !value.is_empty() {
            text.push_str(&format!(" {field} = \"{value}\""));
        }
    }
    text
}

/// The moment that is asked about; the future is not on record.
fn moment(ctx: &Ctx, time: Option<prost_types::Timestamp>) -> Result<Time> {
    let time = time.ok_or_else(|| Error::invalid("time", "is required: the moment to look at"))?;
    let moment = Time::try_from(time)?;
    if moment > ctx.now() {
        let message = format!("`{moment}` is in the future; give a moment up to `{}`", ctx.now());
        return Err(Error::invalid("time", message));
    }
    Ok(moment)
}

/// What a page token says: the sizes of both logs, and after what to go on.
fn continued(cursor: &Cursor) -> Result<(i64, i64, Option<Place>)> {
    let mut words = cursor.text.splitn(3, ' ');
    let mut word = || words.next().ok_or(Error::PageToken);
    let platform = word()?.parse().map_err(|_| Error::PageToken)?;
    let place = Place { principal: word()?.to_owned(), plugin: word()?.to_owned() };
    Ok((cursor.int, platform, Some(place)))
}

fn cursor(size: i64, platform: i64, place: &Place) -> Cursor {
    let text = format!("{platform} {} {}", place.principal, place.plugin);
    Cursor { text, int: size, id: Uuid::nil() }
}

/// The past of a tenant at a moment, as the first `sizes` events of its log and of the platform's tell it.
pub(crate) async fn past(
    kernel: &Arc<Kernel>,
    log: &Sequencer,
    tenant: &TenantRef,
    moment: Time,
    sizes: (i64, i64),
) -> Result<Arc<Past>> {
    let key = (tenant.id.0, moment, sizes.0, sizes.1);
    let fold = async {
        let scope = Scope::Tenant(tenant.clone());
        let own = folded(kernel, &scope, sizes.0, moment).await?;
        // the catalogue belongs to the platform
        let platform = folded(kernel, &Scope::Platform, sizes.1, moment).await?;
        Past::new(&tenant.slug, &own.state, &platform.state, moment).map(Arc::new)
    };
    log.reading().pasts.0.get_or_insert_async(&key, fold).await
}

/// What a log tells of its scope at a moment.
async fn folded(kernel: &Arc<Kernel>, scope: &Scope, size: i64, moment: Time) -> Result<Fold> {
    let mut db = kernel.db.reader().await?;
    let mut fold = Fold::begin(&mut db, scope.id()).await?;
    if let Some(last) = fold.state.last.filter(|last| *last > moment) {
        let message = format!(
            "`{moment}` is further back than the log of `{scope}` goes: retention removed the events up to `{last}`; give a later moment"
        );
        return Err(Error::out_of_range("time", message));
    }
    let begun = fold.next;
    fold.advance(&mut db, (scope.id(), &scope.to_string()), size, Some(moment)).await?;
    Fold::whole(&mut db, scope.id(), begun).await?;
    Ok(fold)
}

/// The last segment of the name of a plugin, and that of its marketplace, checked.
fn plugin_name(text: &str) -> Result<()> {
    let [_, _] = name::parse::<2>("plugin", "marketplaces/{}/plugins/{}", text)?;
    Ok(())
}
