//! References between the resources of one tenant.

use kernel::{Error, Result, ids::Slug, name, scope::TenantRef};

/// The slug in `text`, which names a `kind` of the same tenant (`unit`: `tenants/{t}/units/{id}`); `field` names it in
/// errors. What is of another tenant is not found, whether it exists or not.
pub fn sibling(tenant: &TenantRef, field: &str, kind: &'static str, text: &str) -> Result<Slug> {
    let [found, slug] = name::parse(field, &format!("tenants/{{}}/{kind}s/{{}}"), text)?;
    if found == tenant.slug { Ok(slug) } else { Err(Error::not_found(kind, text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{
        ids::{PartnerId, TenantId},
        scope::PartnerRef,
    };
    use uuid::Uuid;

    fn acme() -> TenantRef {
        let slug = |text: &str| Slug::parse("id", text).unwrap();
        let partner = PartnerRef { id: PartnerId(Uuid::nil()), slug: slug("northwind") };
        TenantRef { id: TenantId(Uuid::nil()), slug: slug("acme"), state: "live".to_owned(), partner }
    }

    #[test]
    fn a_reference_stays_in_its_tenant_and_keeps_to_its_kind() {
        let found = sibling(&acme(), "member", "principal", "tenants/acme/principals/maria.lopez").unwrap();
        assert_eq!(found.as_str(), "maria.lopez");
        let other = sibling(&acme(), "member", "principal", "tenants/other/principals/maria.lopez");
        assert!(matches!(other, Err(Error::NotFound { kind: "principal", .. })));
        for bad in
            ["", "maria.lopez", "tenants/acme/units/maria", "tenants/acme/principals/", "principals/maria"]
        {
            assert!(matches!(sibling(&acme(), "member", "principal", bad), Err(Error::Invalid(_))), "{bad}");
        }
    }
}
