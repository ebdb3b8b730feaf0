//! Short names: `acme/banker` for `tenants/acme/roles/banker`, and `banker` where the tenant is known.

use std::fmt;

use crate::error::{Error, Result};

/// Words that stand between ids in a full name, and so cannot be meant as an id in a short one.
const COLLECTIONS: &[&str] = &[
    "tenants",
    "partners",
    "units",
    "principals",
    "groups",
    "roles",
    "tokens",
    "dutyGrants",
    "entitlements",
    "connectorBindings",
    "stageOverrides",
    "pluginGroups",
    "seatPools",
    "marketplaces",
    "plugins",
    "versions",
    "auditEvents",
    "savedSearches",
    "mirrorLinks",
    "legalHolds",
    "sinks",
    "usageCorrections",
];

/// A resource name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `tenants/acme`, `partners/northwind`, or empty for the platform.
    pub parent: String,
    /// `roles`.
    pub collection: &'static str,
    /// `banker`.
    pub id: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.parent.is_empty() {
            write!(f, "{}/", self.parent)?;
        }
        write!(f, "{}/{}", self.collection, self.id)
    }
}

/// A place that principals, tokens, duties and audit logs belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The deployment itself.
    Platform,
    /// A partner, by id.
    Partner(String),
    /// A tenant, by id.
    Tenant(String),
}

impl Scope {
    /// The name that a request carries: empty, `partners/{partner}` or `tenants/{tenant}`.
    pub fn name(&self) -> String {
        match self {
            Self::Platform => String::new(),
            Self::Partner(id) => format!("partners/{id}"),
            Self::Tenant(id) => format!("tenants/{id}"),
        }
    }
}

/// What is left out of short names: from the flags, else from the context.
#[derive(Clone, Debug, Default)]
pub struct Names {
    tenant: Option<String>,
    partner: Option<String>,
    scope: Option<Scope>,
}

impl Names {
    /// `flags` and `context` are (tenant, partner); a flag wins, and `platform` wins where a scope is wanted.
    pub fn new(
        flags: (Option<&str>, Option<&str>),
        platform: bool,
        context: (Option<&str>, Option<&str>),
    ) -> Result<Self> {
        let id = |collection, text: Option<&str>| text.map(|t| top(collection, t)).transpose();
        let (tenant, partner) = (id("tenants", flags.0)?, id("partners", flags.1)?);
        let home = (id("tenants", context.0)?, id("partners", context.1)?);
        let scope = match (platform, &tenant, &partner) {
            (true, None, None) => Some(Scope::Platform),
            (true, ..) => {
                return Err(Error::Usage("--platform goes with neither --tenant nor --partner".to_owned()));
            }
            (false, Some(tenant), _) => Some(Scope::Tenant(tenant.clone())),
            (false, None, Some(partner)) => Some(Scope::Partner(partner.clone())),
            (false, None, None) => {
                home.0.clone().map(Scope::Tenant).or_else(|| home.1.clone().map(Scope::Partner))
            }
        };
        Ok(Self { tenant: tenant.or(home.0), partner: partner.or(home.1), scope })
    }

    /// `tenants/acme` from `acme`, from its full name, or from the default.
    pub fn tenant(&self, text: Option<&str>) -> Result<String> {
        let id = match text {
            Some(text) => top("tenants", text)?,
            None => self.tenant.clone().ok_or_else(|| missing("tenant"))?,
        };
        Ok(format!("tenants/{id}"))
    }

    /// `partners/northwind` likewise.
    pub fn partner(&self, text: Option<&str>) -> Result<String> {
        let id = match text {
            Some(text) => top("partners", text)?,
            None => self.partner.clone().ok_or_else(|| missing("partner"))?,
        };
        Ok(format!("partners/{id}"))
    }

    /// The parent of things that live in a tenant, in a partner or on the platform: `acme` is a tenant,
    /// `partners/northwind` a partner; without text the flags decide, then the context.
    pub fn scope(&self, text: Option<&str>) -> Result<String> {
        match text {
            Some(text) if text.starts_with("partners/") => self.partner(Some(text)),
            Some(text) => self.tenant(Some(text)),
            None => {
                self.scope.as_ref().map(Scope::name).ok_or_else(|| {
                    Error::Usage("say where: --tenant ID, --partner ID or --platform".to_owned())
                })
            }
        }
    }

    /// Something that always lives in a tenant: a unit, a group, a role, an entitlement.
    pub fn in_tenant(&self, collection: &'static str, text: &str) -> Result<Name> {
        let home = self.tenant.as_ref().map(|id| format!("tenants/{id}"));
        let name = resolve(collection, home, text)?;
        if name.parent.starts_with("tenants/") {
            return Ok(name);
        }
        Err(Error::Usage(format!(
            "`{text}`: `{collection}` live in a tenant; write `tenants/…/{collection}/…`"
        )))
    }

    /// Something that lives in a tenant, in a partner or on the platform: a principal, a token, a duty.
    pub fn in_scope(&self, collection: &'static str, text: &str) -> Result<Name> {
        resolve(collection, self.scope.as_ref().map(Scope::name), text)
    }
}

/// Something beside another thing of the same parent: `maria` next to `tenants/acme/roles/banker`.
pub fn beside(parent: &str, collection: &'static str, text: &str) -> Result<String> {
    Ok(resolve(collection, Some(parent.to_owned()), text)?.to_string())
}

/// A holder: `principal:maria`, `group:traders`, or a full name.
pub fn member(parent: &str, text: &str) -> Result<String> {
    match text.split_once(':') {
        Some(("principal", id)) => beside(parent, "principals", id),
        Some(("group", id)) => beside(parent, "groups", id),
        None if text.contains("/principals/") => beside(parent, "principals", text),
        None if text.contains("/groups/") => beside(parent, "groups", text),
        _ => Err(Error::Usage(format!(
            "`{text}` is not a member; write `principal:ID`, `group:ID` or a full name"
        ))),
    }
}

/// `marketplaces/codex-official` from its id or its full name.
pub fn marketplace(text: &str) -> Result<String> {
    Ok(format!("marketplaces/{}", top("marketplaces", text)?))
}

/// `marketplaces/codex-official/plugins/factset` from `codex-official/factset` or its full name.
pub fn plugin(text: &str) -> Result<String> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [market, plugin] if is_id(market) && is_id(plugin) => {
            Ok(format!("marketplaces/{market}/plugins/{plugin}"))
        }
        ["marketplaces", market, "plugins", plugin] if !market.is_empty() && !plugin.is_empty() => {
            Ok(text.to_owned())
        }
        _ => Err(Error::Usage(format!(
            "`{text}` is not a plugin; write `MARKETPLACE/PLUGIN` or `marketplaces/…/plugins/…`"
        ))),
    }
}

/// A plugin, or one of its parts: `codex-official/factset/apps/KEY`.
pub fn plugin_or_part(text: &str) -> Result<String> {
    for kind in ["/apps/", "/skills/"] {
        if let Some((whole, key)) = text.split_once(kind) {
            if key.is_empty() || key.contains('/') {
                return Err(Error::Usage(format!(
                    "`{text}` ends in no part of a plugin; write `…{kind}KEY`"
                )));
            }
            return Ok(format!("{}{kind}{key}", plugin(whole)?));
        }
    }
    plugin(text)
}

/// What an entitlement of `parent` speaks of: a whole marketplace, one plugin, a part of it, or a plugin group:
/// `plugin-group:ID`.
pub fn target(parent: &str, text: &str) -> Result<String> {
    if let Some(id) = text.strip_prefix("plugin-group:") {
        return beside(parent, "pluginGroups", id);
    }
    if text.contains("/pluginGroups/") {
        return beside(parent, "pluginGroups", text);
    }
    let whole = text.strip_prefix("marketplaces/").unwrap_or(text);
    if whole.contains('/') { plugin_or_part(text) } else { marketplace(text) }
}

/// The id in `acme` or `tenants/acme`.
fn top(collection: &str, text: &str) -> Result<String> {
    let id = text.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
    if is_id(id) && !id.contains('/') {
        return Ok(id.to_owned());
    }
    Err(Error::Usage(format!(
        "`{text}` does not name one of `{collection}`; write `ID` or `{collection}/ID`"
    )))
}

fn resolve(collection: &'static str, home: Option<String>, text: &str) -> Result<Name> {
    let wrong = || {
        Error::Usage(format!(
            "`{text}` does not name one of `{collection}`; write `TENANT/ID`, a full name, \
             or `ID` alone with --tenant or a context that has a tenant"
        ))
    };
    let name = |parent: String, id: &str| Ok(Name { parent, collection, id: id.to_owned() });
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [id] if is_id(id) => name(home.ok_or_else(wrong)?, id),
        [word, id] if *word == collection && !id.is_empty() => name(String::new(), id),
        [tenant, id] if is_id(tenant) && is_id(id) => name(format!("tenants/{tenant}"), id),
        [top @ ("tenants" | "partners"), owner, word, id]
            if *word == collection && !owner.is_empty() && !id.is_empty() =>
        {
            name(format!("{top}/{owner}"), id)
        }
        _ => Err(wrong()),
    }
}

fn is_id(word: &str) -> bool {
    !word.is_empty() && !COLLECTIONS.contains(&word)
}

fn missing(noun: &str) -> Error {
    Error::Usage(format!(
        "which {noun}? name it, give --{noun}, or store one with `provost context add NAME --{noun} ID`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tenant: Option<&str>, partner: Option<&str>) -> Names {
        Names::new((None, None), false, (tenant, partner)).unwrap()
    }

    #[test]
    fn a_role_has_three_spellings() {
        let names = names(Some("acme"), None);
        for text in ["banker", "acme/banker", "tenants/acme/roles/banker"] {
            assert_eq!(
                names.in_tenant("roles", text).unwrap().to_string(),
                "tenants/acme/roles/banker",
                "{text}"
            );
        }
        let other = names.in_tenant("roles", "zenith/banker").unwrap();
        assert_eq!((other.parent.as_str(), other.id.as_str()), ("tenants/zenith", "banker"));
    }

    #[test]
    fn half_names_are_refused_rather_than_guessed() {
        let names = names(Some("acme"), None);
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "tenants/acme",
            "tenants/acme/roles",
            "tenants/acme/roles/",
            "a/b/c",
            "tenants/acme/groups/desk",
            "partners/northwind/roles/banker",
            "roles/banker",
            "tenants//roles/a",
        ] {
            assert!(matches!(names.in_tenant("roles", text), Err(Error::Usage(_))), "{text}");
        }
        assert!(Names::default().in_tenant("roles", "banker").is_err());
    }

    #[test]
    fn principals_live_in_three_places() {
        let names = names(None, None);
        for (text, full) in [
            ("acme/maria", "tenants/acme/principals/maria"),
            ("principals/root", "principals/root"),
            ("partners/northwind/principals/lena", "partners/northwind/principals/lena"),
        ] {
            assert_eq!(names.in_scope("principals", text).unwrap().to_string(), full);
        }
        let platform = Names::new((None, None), true, (Some("acme"), None)).unwrap();
        assert_eq!(platform.in_scope("principals", "root").unwrap().to_string(), "principals/root");
        let partner = Names::new((None, Some("northwind")), false, (Some("acme"), None)).unwrap();
        assert_eq!(
            partner.in_scope("principals", "lena").unwrap().to_string(),
            "partners/northwind/principals/lena"
        );
    }

    #[test]
    fn flags_win_over_the_context() {
        let names =
            Names::new((Some("tenants/zenith"), None), false, (Some("acme"), Some("northwind"))).unwrap();
        assert_eq!(names.tenant(None).unwrap(), "tenants/zenith");
        assert_eq!(names.partner(None).unwrap(), "partners/northwind");
        assert_eq!(names.scope(None).unwrap(), "tenants/zenith");
        assert_eq!(names.scope(Some("acme")).unwrap(), "tenants/acme");
        assert_eq!(names.scope(Some("partners/northwind")).unwrap(), "partners/northwind");
        assert!(Names::new((Some("a"), None), true, (None, None)).is_err());
        assert!(matches!(Names::default().scope(None), Err(Error::Usage(_))));
    }

    #[test]
    fn members_belong_to_the_tenant_of_the_role() {
        assert_eq!(member("tenants/acme", "principal:maria").unwrap(), "tenants/acme/principals/maria");
        assert_eq!(member("tenants/acme", "group:desk").unwrap(), "tenants/acme/groups/desk");
        assert_eq!(member("tenants/acme", "tenants/acme/groups/desk").unwrap(), "tenants/acme/groups/desk");
        for text in ["maria", "robot:x", "principal:", "group:a/b/c"] {
            assert!(member("tenants/acme", text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets_are_marketplaces_plugins_or_groups_of_them() {
        let target = |text: &str| target("tenants/acme", text);
        let group = "tenants/acme/pluginGroups/research";
        assert_eq!(target("plugin-group:research").unwrap(), group);
        assert_eq!(target(group).unwrap(), group);
        assert_eq!(target("plugin-group:zenith/research").unwrap(), "tenants/zenith/pluginGroups/research");
        for text in ["plugin-group:", "plugin-group:a/b/c", "tenants/acme/pluginGroups/"] {
            assert!(target(text).is_err(), "{text}");
        }
        assert_eq!(target("codex-official").unwrap(), "marketplaces/codex-official");
        assert_eq!(target("marketplaces/codex-official").unwrap(), "marketplaces/codex-official");
        let full = "marketplaces/codex-official/plugins/fact.set";
        assert_eq!(target("codex-official/fact.set").unwrap(), full);
        assert_eq!(target(full).unwrap(), full);
        assert_eq!(target("codex-official/fact.set/apps/Fact Set").unwrap(), format!("{full}/apps/Fact Set"));
        assert_eq!(target(&format!("{full}/skills/read")).unwrap(), format!("{full}/skills/read"));
        for text in
            ["", "a/b/c", "a/b/apps/", "a/b/apps/c/d", "a/apps/b", "marketplaces/a/plugins/", "marketplaces/"]
        {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
