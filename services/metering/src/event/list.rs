//! The events behind a figure, and those that were refused: what a number drills down to.

use kernel::{
    Ctx, Error, Result,
    authz::{Action, Class},
    clock::Time,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
    },
    filter::{Field, Kind, Value},
    ids::{TenantId, clip},
    name::parse_uuid,
    page::PageKey,
    scope::ScopeKind,
};
use proto::usage::v1 as pb;
use tenancy::role::model::RoleFamily;
use uuid::Uuid;

use super::model::CONFLICT;

const fn action(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "usage", verb, class: Class::Read, scopes: &[ScopeKind::Tenant] }
}
/// Lists events.
pub const EVENTS: Action = action("provost.usage.v1.UsageService/ListUsageEvents", "list_events");
/// Lists refused events.
pub const REJECTS: Action = action("provost.usage.v1.UsageService/ListUsageRejects", "list_rejects");

macro_rules! events_from {
    ($first:literal) => {
        concat!(
            $first,
            " LEFT JOIN principal p ON p.scope_id = e.tenant_id AND p.id = e.principal_id \
             LEFT JOIN role r ON r.tenant_id = e.tenant_id AND r.id = e.role_id \
             LEFT JOIN unit u ON u.tenant_id = e.tenant_id AND u.id = e.unit_id \
             LEFT JOIN usage_void v ON v.tenant_id = e.tenant_id AND v.seq = e.seq AND v.undone_time IS NULL"
        )
    };
}

const LIST_EVENTS: ListSpec = ListSpec {
    name: "usage_events",
    columns: "e.seq, e.source, e.event_id, e.event_type, e.client, e.time, e.ingest_time, e.dims, e.amounts, e.attributes, \
              COALESCE(p.slug, '') AS principal, COALESCE(r.slug, '') AS role, COALESCE(u.slug, '') AS unit, \
              v.correction_id AS void_id, v.void_time, e.correction_id, e.replaces_seq",
    from: events_from!("usage_event e"),
    // places are never equal, so nothing has to break ties
    id: "e.tenant_id",
    fields: &[
        Field { name: "seq", column: "e.seq", kind: Kind::Int, sortable: true },
        Field::time("time", "e.time").unsorted(),
        Field::text("type", "e.event_type").unsorted(),
        Field::text("source", "e.source").unsorted(),
        Field::text("id", "e.event_id").unsorted(),
        Field::text("client", "e.client").unsorted(),
        Field::text("principal", "COALESCE(p.slug, '')").unsorted(),
        Field::text("role", "COALESCE(r.slug, '')").unsorted(),
        Field::words("role_family", "COALESCE(r.family, 'unspecified')", &RoleFamily::WORDS),
        Field::member("plugin", "e.dims"),
        Field::text("unit", "COALESCE(u.slug, '')").unsorted(),
        Field::words(
            "state",
            "CASE WHEN v.seq IS NULL THEN 'standing' ELSE 'void' END",
            &["standing", "void"],
        ),
    ],
    order: "seq",
    deleted: "",
};

/// Those that a correction took back, also when it was reverted since. What it added are events with its id.
const LIST_TAKEN: ListSpec = ListSpec {
    name: "usage_events_taken",
    from: events_from!("usage_void w JOIN usage_event e ON e.tenant_id = w.tenant_id AND e.seq = w.seq"),
    ..LIST_EVENTS
};

const LIST_REJECTS: ListSpec = ListSpec {
    name: "usage_rejects",
    columns: "j.code, j.field, j.message, j.source, j.event_id, j.event_type, j.seq, j.ingest_time, \
              COALESCE(p.slug, '') AS principal",
    from: "usage_reject j LEFT JOIN principal p ON p.scope_id = j.tenant_id AND p.id = j.principal_id",
    id: "j.id",
    fields: &[
        Field::time("ingest_time", "j.ingest_time"),
        Field::text("code", "j.code").unsorted(),
        Field::text("field", "j.field").unsorted(),
        Field::text("type", "j.event_type").unsorted(),
        Field::text("source", "j.source").unsorted(),
        Field::text("id", "j.event_id").unsorted(),
        Field::text("principal", "COALESCE(p.slug, '')").unsorted(),
    ],
    order: "ingest_time desc",
    deleted: "",
};

/// A stored event, with names.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Listed {
    seq: i64,
    source: String,
    event_id: String,
    event_type: String,
    client: String,
    time: Time,
    ingest_time: Time,
    dims: String,
    amounts: String,
    attributes: String,
    principal: String,
    role: String,
    unit: String,
    void_id: Option<Uuid>,
    void_time: Option<Time>,
    correction_id: Option<Uuid>,
    replaces_seq: Option<i64>,
}

/// A refused event, with the name of its sender.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Rejected {
    code: String,
    field: String,
    message: String,
    source: String,
    event_id: String,
    event_type: String,
    seq: Option<i64>,
    ingest_time: Time,
    principal: String,
}

/// Which events of a tenant are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Of {
    /// All.
    #[default]
    All,
    /// Those that a correction took back.
    TakenBy(Uuid),
    /// Those that a correction added.
    AddedBy(Uuid),
}

impl Of {
    /// Of a tenant's corrections, by name; empty for none.
    pub fn named(parent: &str, taken_by: &str, added_by: &str) -> Result<Self> {
        let id = |field: &str, name: &str| {
            let (home, id) = parse_uuid(field, "usageCorrections", name)?;
            if home == parent { Ok(id) } else { Err(Error::not_found("usage correction", clip(name))) }
        };
        match (taken_by, added_by) {
            ("", "") => Ok(Self::All),
            (name, "") => id("taken_by", name).map(Self::TakenBy),
            ("", name) => id("added_by", name).map(Self::AddedBy),
            _ => Err(Error::invalid("added_by", "is given together with `taken_by`; ask for one of them")),
        }
    }
}

/// SQL of the list of events.
pub async fn event_list(
    db: &mut impl Executor,
    tenant: TenantId,
    of: Of,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Listed>> {
    let own = ("e.tenant_id", Value::Id(tenant.0));
    match of {
        Of::All => list(db, &LIST_EVENTS, &[own], query, key).await,
        Of::AddedBy(id) => {
            list(db, &LIST_EVENTS, &[own, ("e.correction_id", Value::Id(id))], query, key).await
        }
        Of::TakenBy(id) => {
            let keys = [("w.tenant_id", Value::Id(tenant.0)), ("w.correction_id", Value::Id(id))];
            list(db, &LIST_TAKEN, &keys, query, key).await
        }
    }
}

/// SQL of the list of refused events.
pub async fn reject_list(
    db: &mut impl Executor,
    tenant: TenantId,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<Rejected>> {
    list(db, &LIST_REJECTS, &[("j.tenant_id", Value::Id(tenant.0))], query, key).await
}

/// The events of `parent`, in the order of their places.
pub async fn events(
    ctx: &Ctx,
    parent: &str,
    (taken_by, added_by): (&str, &str),
    query: &ListQuery,
) -> Result<pb::ListUsageEventsResponse> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(EVENTS, &scope).await?;
    let of = Of::named(parent, taken_by, added_by)?;
    let (tenant, key) = (scope.tenant()?.id, &ctx.kernel().page_key);
    let page = event_list(&mut ctx.read().await?, tenant, of, query, key).await?;
    let page = page.map(|event| event.message(parent));
    Ok(pb::ListUsageEventsResponse { events: page.items, next_page_token: page.next_page_token })
}

/// The refused events of `parent` that are kept, newest first.
pub async fn rejects(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<pb::ListUsageRejectsResponse> {
    let scope = ctx.tenant("parent", parent).await?;
    ctx.authorize(REJECTS, &scope).await?;
    let page = reject_list(&mut ctx.read().await?, scope.tenant()?.id, query, &ctx.kernel().page_key).await?;
    let page = page.map(|reject| reject.message(parent));
    Ok(pb::ListUsageRejectsResponse { rejects: page.items, next_page_token: page.next_page_token })
}

fn name(parent: &str, collection: &str, slug: &str) -> String {
    if slug.is_empty() { String::new() } else { format!("{parent}/{collection}/{slug}") }
}

impl Listed {
    fn message(self, parent: &str) -> pb::StoredUsageEvent {
        let dims: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&self.dims).unwrap_or_default();
        let amounts: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&self.amounts).unwrap_or_default();
        let correction =
            |id: Option<Uuid>| id.map_or_else(String::new, |id| format!("{parent}/usageCorrections/{id}"));
        let value = |(key, value): (String, serde_json::Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pb::Quantity { key, value }
        };
        pb::StoredUsageEvent {
            seq: self.seq,
            source: self.source,
            id: self.event_id,
            r#type: self.event_type,
            client: self.client,
            time: Some(self.time.into()),
            ingest_time: Some(self.ingest_time.into()),
            principal: name(parent, "principals", &self.principal),
            role: name(parent, "roles", &self.role),
            unit_name: name(parent, "units", &self.unit),
            dims: dims.into_iter().map(|(key, value)| pb::Dim { key, value }).collect(),
            values: amounts.into_iter().map(value).collect(),
            attributes: self.attributes,
            void_correction: correction(self.void_id),
            void_time: self.void_time.map(Into::into),
            correction: correction(self.correction_id),
            replaces_seq: self.replaces_seq.unwrap_or_default(),
        }
    }
}

impl Rejected {
    fn message(self, parent: &str) -> pb::UsageReject {
        let conflict = self.code == CONFLICT;
        pb::UsageReject {
            code: self.code,
            field: self.field,
            message: self.message,
            source: self.source,
            id: self.event_id,
            r#type: self.event_type,
            seq: if conflict { self.seq.unwrap_or_default() } else { 0 },
            ingest_time: Some(self.ingest_time.into()),
            principal: name(parent, "principals", &self.principal),
        }
    }
}
