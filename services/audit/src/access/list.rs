//! Who could use what, page by page: by principal, then by plugin.

use std::{collections::btree_map, ops::Bound};

use ::entitlement::{
    entitlement::model::{self as entitlement, EVERYBODY, Effect},
    opinion::verdict::Asked,
};
use kernel::{Result, error::Error, ids::Slug, name, scope::TenantRef};
use proto::audit::v1 as pb;

use super::past::{Granted, Past};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    principal: Option<Slug>,
    plugin: String,
}

/// The last of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Id of the principal.
    pub principal: String,
    /// Name of the plugin.
    pub plugin: String,
}

impl Wish {
    /// Only a principal of the tenant, only a plugin; empty for all.
    pub fn new(tenant: &TenantRef, principal: &str, plugin: &str) -> Result<Self> {
        let principal = match principal {
            "" => None,
            text => {
                let [of, slug] = name::parse("principal", "tenants/{}/principals/{}", text)?;
                if of != tenant.slug {
                    return Err(Error::not_found("principal", text));
                }
                Some(slug)
            }
        };
        if !plugin.is_empty() {
            super::plugin_name(plugin)?;
        }
        Ok(Self { principal, plugin: plugin.to_owned() })
    }

    fn wants(&self, plugin: &str) -> bool {
        self.plugin.is_empty() || self.plugin == plugin
    }
}

/// One page of at most `limit` after a place, and its last place when there is more.
pub async fn page(
    past: &Past,
    wish: &Wish,
    after: Option<&Place>,
    limit: usize,
) -> Result<(Vec<pb::Access>, Option<Place>)> {
    let (mut access, mut last) = (Vec::new(), None);
    for (slug, principal) in principals(past, wish, after) {
        let seen = after.filter(|place| place.principal == slug.as_str()).map_or("", |p| p.plugin.as_str());
        let granted = past.granted(principal).await?;
        for granted in granted.iter().filter(|g| wish.wants(&g.plugin) && g.plugin.as_str() > seen) {
            if access.len() == limit {
                return Ok((access, last));
            }
            access.push(row(past, slug, granted));
            last = Some(Place { principal: slug.to_string(), plugin: granted.plugin.clone() });
        }
    }
    Ok((access, None))
}

/// The principals that come into question, from the one on which the last page ended.
fn principals<'p>(
    past: &'p Past,
    wish: &'p Wish,
    after: Option<&Place>,
) -> impl Iterator<Item = (&'p Slug, &'p Asked)> {
    let from = after.and_then(|place| Slug::parse_dotted("principal", &place.principal).ok());
    let from = from.map_or(Bound::Unbounded, Bound::Included);
    let all: btree_map::Range<'p, Slug, Asked> = past.principals().range((from, Bound::Unbounded));
    all.filter(|(slug, _)| wish.principal.as_ref().is_none_or(|only| only == *slug))
}

fn row(past: &Past, principal: &Slug, granted: &Granted) -> pb::Access {
    let tenant = &past.tenant;
    let role = granted.role.as_ref();
    pb::Access {
        principal: format!("tenants/{tenant}/principals/{principal}"),
        plugin: granted.plugin.clone(),
        effect: word(granted.effect).to_owned(),
        role: role.map_or_else(|| EVERYBODY.to_owned(), |role| format!("tenants/{tenant}/roles/{role}")),
        entitlement: entitlement::name(tenant, granted.rule.as_str()),
    }
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Denied => "DENIED",
        Effect::Available => "AVAILABLE",
        Effect::Default => "DEFAULT",
        Effect::Required => "REQUIRED",
    }
}
