//! Where something happens: on the platform, in a partner, or in a tenant.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    db::Executor,
    error::{Error, Result},
    ids::{PartnerId, Slug, TenantId},
    name, on,
};

/// The three kinds of scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// The deployment itself.
    Platform,
    /// A consulting firm.
    Partner,
    /// A client organisation.
    Tenant,
}

impl ScopeKind {
    /// As stored, and as `dom` in the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Partner => "partner",
            Self::Tenant => "tenant",
        }
    }

    /// From its stored form.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "platform" => Ok(Self::Platform),
            "partner" => Ok(Self::Partner),
            "tenant" => Ok(Self::Tenant),
            other => Err(Error::internal(format!("scope kind `{other}` in the database"))),
        }
    }
}

/// A partner, as far as everybody needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct PartnerRef {
    /// Identity.
    #[sqlx(rename = "partner_id")]
    pub id: PartnerId,
    /// Id in names.
    #[sqlx(rename = "partner_slug")]
    pub slug: Slug,
}

/// The state, in a [`TenantRef`], of a closed tenant whose data is being erased or gone.
pub const ERASED: &str = "erased";

/// A tenant, as far as everybody needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct TenantRef {
    /// Identity.
    #[sqlx(rename = "tenant_id")]
    pub id: TenantId,
    /// Id in names.
    #[sqlx(rename = "tenant_slug")]
    pub slug: Slug,
    /// Lifecycle state, as stored; [`ERASED`] once its data is being erased.
    pub state: String,
    /// Who rolls out there.
    #[sqlx(flatten)]
    pub partner: PartnerRef,
}

/// Where something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The deployment itself.
    Platform,
    /// A consulting firm.
    Partner(PartnerRef),
    /// A client organisation.
    Tenant(TenantRef),
}

impl Scope {
    /// Kind.
    pub fn kind(&self) -> ScopeKind {
        match self {
            Self::Platform => ScopeKind::Platform,
            Self::Partner(_) => ScopeKind::Partner,
            Self::Tenant(_) => ScopeKind::Tenant,
        }
    }

    /// Identity in `scope_id` columns; nil for the platform.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Platform => Uuid::nil(),
            Self::Partner(p) => p.id.0,
            Self::Tenant(t) => t.id.0,
        }
    }

    /// The tenant; a use case that needs one found its scope with [`crate::Ctx::tenant`].
    pub fn tenant(&self) -> Result<&TenantRef> {
        match self {
            Self::Tenant(tenant) => Ok(tenant),
            other => Err(Error::internal(format!("`{other}` is not a tenant"))),
        }
    }

    /// The name of a resource below it: `child("tokens", id)` is `tenants/acme/tokens/<id>`.
    pub fn child(&self, collection: &str, id: impl fmt::Display) -> String {
        match self {
            Self::Platform => format!("{collection}/{id}"),
            _ => format!("{self}/{collection}/{id}"),
        }
    }

    /// Finds the scope that `parent` names: empty, `partners/{p}` or `tenants/{t}`; `field` names it in errors.
    pub async fn find(db: &mut impl Executor, field: &str, parent: &str) -> Result<Self> {
        if parent.is_empty() {
            return Ok(Self::Platform);
        }
        if parent.starts_with("partners/") {
            return Ok(Self::Partner(partner_find(db, field, parent).await?));
        }
        if parent.starts_with("tenants/") {
            return Ok(Self::Tenant(tenant_find(db, field, parent).await?));
        }
        Err(Error::invalid(
            field,
            format!(
                "`{}` is not a parent: use nothing, `partners/…` or `tenants/…`",
                crate::ids::clip(parent)
            ),
        ))
    }
}

impl Scope {
    /// The living scope with this identity.
    pub async fn by_id(db: &mut impl Executor, kind: ScopeKind, id: Uuid) -> Result<Option<Self>> {
        match kind {
            ScopeKind::Platform => Ok(Some(Self::Platform)),
            ScopeKind::Partner => {
                let found: Option<PartnerRef> = on!(db, |c| {
                    sqlx::query_as(
                    "SELECT id AS partner_id, slug AS partner_slug FROM partner WHERE id = $1 AND delete_time IS NULL"
                )
                .bind(id)
                .fetch_optional(c)
                })?;
                Ok(found.map(Self::Partner))
            }
            ScopeKind::Tenant => {
                let found: Option<TenantRef> = on!(db, |c| {
                    sqlx::query_as(
                    "SELECT t.id AS tenant_id, t.slug AS tenant_slug, \
                     CASE WHEN t.erasure IN ('running', 'stopped', 'done') THEN 'erased' ELSE t.state END AS state, p.id AS partner_id, p.slug AS partner_slug \
                     FROM tenant t JOIN partner p ON p.id = t.partner_id WHERE t.id = $1 AND t.delete_time IS NULL"
                )
                .bind(id)
                .fetch_optional(c)
                })?;
                Ok(found.map(Self::Tenant))
            }
        }
    }
}

impl fmt::Display for Scope {
    /// The scope's resource name; `platform` for the platform.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Partner(p) => write!(f, "partners/{}", p.slug),
            Self::Tenant(t) => write!(f, "tenants/{}", t.slug),
        }
    }
}

/// Finds a living partner by name.
pub async fn partner_find(db: &mut impl Executor, field: &str, text: &str) -> Result<PartnerRef> {
    let [slug] = name::parse(field, "partners/{}", text)?;
    let found: Option<PartnerRef> = on!(db, |c| {
        sqlx::query_as(
        "SELECT id AS partner_id, slug AS partner_slug FROM partner WHERE slug = $1 AND delete_time IS NULL"
    )
    .bind(&slug)
    .fetch_optional(c)
    })?;
    found.ok_or_else(|| Error::not_found("partner", text))
}

/// Finds a living tenant by name.
pub async fn tenant_find(db: &mut impl Executor, field: &str, text: &str) -> Result<TenantRef> {
    let [slug] = name::parse(field, "tenants/{}", text)?;
    let found: Option<TenantRef> = on!(db, |c| {
        sqlx::query_as(
        "SELECT t.id AS tenant_id, t.slug AS tenant_slug, \
         CASE WHEN t.erasure IN ('running', 'stopped', 'done') THEN 'erased' ELSE t.state END AS state, p.id AS partner_id, p.slug AS partner_slug \
         FROM tenant t JOIN partner p ON p.id = t.partner_id WHERE t.slug = $1 AND t.delete_time IS NULL"
    )
    .bind(&slug)
    .fetch_optional(c)
    })?;
    found.ok_or_else(|| Error::not_found("tenant", text))
}
