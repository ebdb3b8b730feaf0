//! Field masks of updates (AIP-134).

use crate::{
    error::{Error, Result},
    ids::clip,
};

/// Which fields an update changes.
pub struct Mask<'m> {
    paths: Option<&'m [String]>,
}

impl<'m> Mask<'m> {
    /// Checks the mask against the fields that may be updated; none at all means every field that is set.
    pub fn new(mask: Option<&'m prost_types::FieldMask>, known: &[&str]) -> Result<Self> {
        let paths = mask.map(|m| m.paths.as_slice()).filter(|p| !p.is_empty());
        for path in paths.into_iter().flatten() {
            if path != "*" && !known.contains(&path.as_str()) {
                let known = known.join("`, `");
                return Err(Error::invalid(
                    "update_mask",
                    format!("`{}` cannot be updated; these can: `{known}`", clip(path)),
                ));
            }
        }
        Ok(Self { paths })
    }

    /// The new value of `field`, if the update changes it.
    pub fn pick<T: Default + PartialEq>(&self, field: &str, value: T) -> Option<T> {
        match self.paths {
            Some(paths) => paths.iter().any(|p| p == field || p == "*").then_some(value),
            None => (value != T::default()).then_some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_names_what_changes_also_to_empty() {
        let mask = prost_types::FieldMask { paths: vec!["description".to_owned()] };
        let mask = Mask::new(Some(&mask), &["display_name", "description"]).unwrap();
        assert_eq!(mask.pick("description", String::new()), Some(String::new()));
        assert_eq!(mask.pick("display_name", "x".to_owned()), None);
    }

    #[test]
    fn without_a_mask_what_is_set_changes() {
        let mask = Mask::new(None, &["a"]).unwrap();
        assert_eq!(mask.pick("a", "x".to_owned()), Some("x".to_owned()));
        assert_eq!(mask.pick("a", String::new()), None);
    }

    #[test]
    fn an_unknown_path_is_refused() {
        let mask = prost_types::FieldMask { paths: vec!["uid".to_owned()] };
        assert!(Mask::new(Some(&mask), &["display_name"]).is_err());
    }
}
