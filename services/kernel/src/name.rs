//! Resource names (AIP-122): `tenants/acme/roles/banker` taken apart and put together.

use crate::{
    error::{Error, Result},
    ids::{Slug, clip},
};

/// Collections whose ids may have dots and underscores inside.
const DOTTED: [&str; 6] = ["principals", "plugins", "marketplaces", "versions", "legalHolds", "usageMeters"];

/// Takes `text` apart along `pattern`, in which `{}` stands for one id, and checks every id.
///
/// `field` names the request field in the error. Ids of principals, plugins, their versions and legal holds may hold `.` and `_`.
pub fn parse<const N: usize>(field: &str, pattern: &str, text: &str) -> Result<[Slug; N]> {
    let wrong = || {
        Error::invalid(
            field,
            format!("`{}` is not a name of the form `{}`", clip(text), pattern.replace("{}", "…")),
        )
    };
    let mut ids = Vec::with_capacity(N);
    let mut words = text.split('/');
    let mut collection = "";
    for expected in pattern.split('/') {
        let word = words.next().ok_or_else(wrong)?;
        if expected == "{}" {
            let dotted = DOTTED.contains(&collection);
            let id = if dotted { Slug::parse_dotted(field, word) } else { Slug::parse(field, word) };
            ids.push(id.map_err(|_| wrong())?);
        } else if expected != word {
            return Err(wrong());
        }
        collection = expected;
    }
    if words.next().is_some() {
        return Err(wrong());
    }
    ids.try_into().map_err(|_| wrong())
}

/// Takes apart a name whose last id is a UUID, like `tenants/acme/tokens/0197…`: the parent's name and the id.
pub fn parse_uuid<'a>(field: &str, collection: &str, text: &'a str) -> Result<(&'a str, uuid::Uuid)> {
    let wrong = || {
        Error::invalid(field, format!("`{}` is not a name of the form `[parent/]{collection}/…`", clip(text)))
    };
    let (front, id) = text.rsplit_once('/').ok_or_else(wrong)?;
    let parent = if front == collection {
        ""
    } else {
        front.strip_suffix(collection).and_then(|p| p.strip_suffix('/')).ok_or_else(wrong)?
    };
    Ok((parent, id.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_strictly() {
        let [tenant, role] = parse("name", "tenants/{}/roles/{}", "tenants/acme/roles/banker").unwrap();
        assert_eq!((tenant.as_str(), role.as_str()), ("acme", "banker"));
        for bad in [
            "",
            "tenants/acme",
            "tenants/acme/roles/",
            "tenants/acme/roles/a/b",
            "tenants/../roles/a",
            "x/acme/roles/a",
        ] {
            assert!(parse::<2>("name", "tenants/{}/roles/{}", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn uuid_names_keep_their_parent() {
        let id = uuid::Uuid::nil();
        assert_eq!(parse_uuid("name", "tokens", &format!("tokens/{id}")).unwrap(), ("", id));
        assert_eq!(
            parse_uuid("name", "tokens", &format!("tenants/a/tokens/{id}")).unwrap(),
            ("tenants/a", id)
        );
        assert!(parse_uuid("name", "tokens", "tenants/a/tokens/b").is_err());
        assert!(parse_uuid("name", "tokens", &format!("tenants/axtokens/{id}")).is_err());
    }
}
