//! What a saved search is, without any I/O.

use kernel::{
    Result,
    audit::Resource,
    check::Checks,
    clock::Time,
    error::Error,
    ids::{Slug, clip},
    scope::Scope,
    uuid_id,
};
use proto::audit::v1 as pb;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

uuid_id! {
    /// Identity of a saved search.
    SavedSearchId;
}

/// Where saved searches are, in names.
const COLLECTION: &str = "savedSearches";

/// A filter kept under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSearch {
    /// Whose log it searches; nil for the platform's.
    pub scope_id: Uuid,
    /// Resource name.
    pub name: String,
    /// Identity.
    pub id: SavedSearchId,
    /// Last segment of the name.
    pub slug: Slug,
    /// For people.
    pub display_name: String,
    /// What it searches for.
    pub filter: String,
    /// Who saved it, by name.
    pub creator: String,
    /// When.
    pub create_time: Time,
}

impl Resource for SavedSearch {
    const KIND: &'static str = "saved_search";
    // people write names into filters
    const PERSONAL: &'static [&'static str] = &["display_name", "filter"];

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl SavedSearch {
    /// A new search in `scope`, saved by `creator`. The filter is checked by whoever runs it.
    pub fn create(
        scope: &Scope,
        id: &str,
        new: pb::SavedSearch,
        creator: String,
        identity: SavedSearchId,
        now: Time,
    ) -> Result<Self> {
        let slug = lettered("saved_search_id", id)?;
        let mut checks = Checks::new();
        checks.text("saved_search.display_name", &new.display_name, 1, 128);
        checks.done()?;
        Ok(Self {
            scope_id: scope.id(),
            name: scope.child(COLLECTION, &slug),
            id: identity,
            slug,
            display_name: new.display_name,
            filter: new.filter,
            creator,
            create_time: now,
        })
    }
}

/// Takes the name of a saved search apart: its parent's name and its id.
pub fn parse(name: &str) -> Result<(&str, Slug)> {
    let wrong = || {
        Error::invalid(
            "name",
            format!("`{}` is not a name of the form `[parent/]{COLLECTION}/…`", clip(name)),
        )
    };
    let (front, id) = name.rsplit_once('/').ok_or_else(wrong)?;
    let parent = match front {
        COLLECTION => "",
        _ => front.strip_suffix(COLLECTION).and_then(|p| p.strip_suffix('/')).ok_or_else(wrong)?,
    };
    Ok((parent, lettered("name", id).map_err(|_| wrong())?))
}

/// An id that may hold `.` and `_` and starts with a letter.
fn lettered(field: &str, id: &str) -> Result<Slug> {
    let slug = Slug::parse_dotted(field, id)?;
    if slug.as_str().starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(slug);
    }
    Err(Error::invalid(field, format!("`{slug}` is not an id: start it with a letter")))
}

impl From<SavedSearch> for pb::SavedSearch {
    fn from(search: SavedSearch) -> Self {
        Self {
            name: search.name,
            display_name: search.display_name,
            filter: search.filter,
            creator: search.creator,
            create_time: Some(search.create_time.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(id: &str, display_name: &str, filter: &str) -> Result<SavedSearch> {
        let new = pb::SavedSearch {
            name: "tenants/other/savedSearches/x".to_owned(),
            display_name: display_name.to_owned(),
            filter: filter.to_owned(),
            creator: "somebody else".to_owned(),
            create_time: None,
        };
        let id_of = SavedSearchId(Uuid::from_u128(1));
        SavedSearch::create(
            &Scope::Platform,
            id,
            new,
            "principals/root".to_owned(),
            id_of,
            Time::from_micros(5),
        )
    }

    #[test]
    fn what_the_server_says_is_not_taken_from_the_caller() {
        let made = create("denials.today", "Denials", "outcome = denied").unwrap();
        assert_eq!(
            (made.name.as_str(), made.creator.as_str()),
            ("savedSearches/denials.today", "principals/root")
        );
        assert_eq!(made.create_time, Time::from_micros(5));
    }

    #[test]
    fn ids_and_texts_keep_to_their_limits() {
        assert!(create("a_b-c.d", &"x".repeat(128), "a = b").is_ok());
        assert!(create("1st", "x", "a = b").is_err());
        assert!(create("", "x", "a = b").is_err());
        assert!(create("a", "", "a = b").is_err());
        assert!(create("a", &"x".repeat(129), "a = b").is_err());
        assert!(create("a", "x", "").is_ok(), "a search for everything");
    }

    #[test]
    fn names_keep_their_parent() {
        let slug = Slug::parse("id", "mine").unwrap();
        assert_eq!(parse("savedSearches/mine").unwrap(), ("", slug.clone()));
        assert_eq!(parse("tenants/acme/savedSearches/mine").unwrap(), ("tenants/acme", slug));
        for bad in [
            "",
            "mine",
            "tenants/acme/savedSearches/",
            "tenants/acmesavedSearches/a",
            "x/mine",
            "savedSearches/1",
        ] {
            assert!(matches!(parse(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }
}
