//! Names of principals, which live in three kinds of scope.

use kernel::{
    Error, Result,
    ids::Slug,
    name,
    scope::{Scope, TenantRef},
};

/// The parent and the slug in a principal's name, whatever kind of parent it has.
pub fn parse(field: &str, text: &str) -> Result<(String, Slug)> {
    match text.split('/').next() {
        Some("tenants") => {
            let [tenant, slug] = name::parse(field, "tenants/{}/principals/{}", text)?;
            Ok((format!("tenants/{tenant}"), slug))
        }
        Some("partners") => {
            let [partner, slug] = name::parse(field, "partners/{}/principals/{}", text)?;
            Ok((format!("partners/{partner}"), slug))
        }
        _ => name::parse(field, "principals/{}", text).map(|[slug]| (String::new(), slug)),
    }
}

/// The tenant, for a reference that only a tenant's principals have; `None` when `text` is empty and there is none.
pub fn referring<'s>(scope: &'s Scope, field: &str, text: &str) -> Result<Option<&'s TenantRef>> {
    match scope {
        _ if text.is_empty() => Ok(None),
        Scope::Tenant(tenant) => Ok(Some(tenant)),
        _ => Err(Error::invalid(field, "is for principals of tenants; leave it empty")),
    }
}

/// The scope as a principal's parent names it: nothing for the platform.
pub(super) fn parent_name(scope: &Scope) -> String {
    match scope {
        Scope::Platform => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{
        ids::{PartnerId, TenantId},
        scope::PartnerRef,
    };
    use uuid::Uuid;

    fn acme() -> Scope {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        let state = "live".to_owned();
        Scope::Tenant(TenantRef { id: TenantId(Uuid::max()), slug: slug("acme"), state, partner })
    }

    #[test]
    fn names_have_three_forms() {
        for (text, parent) in [
            ("principals/root", ""),
            ("partners/northwind/principals/ann", "partners/northwind"),
            ("tenants/acme/principals/maria.lopez", "tenants/acme"),
        ] {
            let (found, slug) = parse("name", text).unwrap();
            assert_eq!(found, parent);
            assert!(text.ends_with(slug.as_str()));
        }
        for bad in
            ["", "ann", "tenants/acme", "tenants/acme/roles/a", "partners/x/principals/", "principals/a/b"]
        {
            assert!(parse("name", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_tenants_principals_refer_to_units_and_owners() {
        assert_eq!(referring(&acme(), "principal.unit", "").unwrap(), None);
        assert_eq!(referring(&Scope::Platform, "principal.unit", "").unwrap(), None);
        assert!(referring(&acme(), "principal.unit", "tenants/acme/units/sales").unwrap().is_some());
        assert!(matches!(
            referring(&Scope::Platform, "principal.unit", "tenants/a/units/b"),
            Err(Error::Invalid(_))
        ));
    }
}
