//! What a mirror link is, without any I/O.

use std::time::Duration;

use kernel::{
    Result,
    audit::Resource,
    authn::random_base62,
    check::Checks,
    clock::Time,
    error::Error,
    hash,
    scope::{Scope, ScopeKind},
    uuid_id,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

uuid_id! {
    /// Identity of a mirror link.
    MirrorLinkId;
}

/// Longest life of a link.
pub const MAX_LIFE: Duration = Duration::from_hours(365 * 24);
/// How the secret of a link begins: nobody takes it for a token.
const PREFIX: &str = "pvl_";
/// Random characters of a secret, base62: 256 bits.
const RANDOM_CHARS: usize = 43;

/// A path by which one log is read without a token, known without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorLink {
    /// Resource name.
    pub name: String,
    /// Whose log.
    pub scope_kind: ScopeKind,
    /// Whose log.
    pub scope_id: Uuid,
    /// Identity.
    pub id: MirrorLinkId,
    /// Who reads through it, for people.
    pub display_name: String,
    /// When it was created.
    pub create_time: Time,
    /// When it ends.
    pub expire_time: Time,
    /// When it was revoked.
    pub revoke_time: Option<Time>,
}

/// What a caller says of a new link.
#[derive(Clone, Debug)]
pub struct NewMirrorLink {
    /// Who reads through it.
    pub display_name: String,
    /// When it ends.
    pub expire_time: Option<Time>,
}

/// The part of a path that opens it; shown once.
pub struct LinkSecret {
    /// `pvl_` and 43 base62 characters.
    pub text: String,
    /// SHA-256 of the text; all that is stored.
    pub digest: [u8; 32],
}

impl Resource for MirrorLink {
    const KIND: &'static str = "mirror_link";
    // who reads through it
    const PERSONAL: &'static [&'static str] = &["display_name"];

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl MirrorLink {
    /// A new link to the log of `scope`.
    pub fn create(scope: &Scope, new: NewMirrorLink, id: MirrorLinkId, now: Time) -> Result<Self> {
        let expire_time = new.expire_time.unwrap_or(now);
        let mut checks = Checks::new();
        checks.text("mirror_link.display_name", &new.display_name, 1, 128);
        checks.that("mirror_link.expire_time", expire_time > now, "is required and must lie ahead");
        checks.that(
            "mirror_link.expire_time",
            expire_time <= now.plus(MAX_LIFE),
            "is more than a year ahead; choose an earlier time",
        );
        checks.done()?;
        Ok(Self {
            name: scope.child("mirrorLinks", id),
            scope_kind: scope.kind(),
            scope_id: scope.id(),
            id,
            display_name: new.display_name,
            create_time: now,
            expire_time,
            revoke_time: None,
        })
    }

    /// The link, revoked.
    pub fn revoked(&self, now: Time) -> Result<Self> {
        if self.revoke_time.is_some() {
            return Err(Error::illegal_state(&self.name, format!("`{}` is already revoked", self.name)));
        }
        Ok(Self { revoke_time: Some(now), ..self.clone() })
    }

    /// Whether it opens anything at `now`.
    pub fn is_good(&self, now: Time) -> bool {
        self.revoke_time.is_none() && now < self.expire_time
    }
}

impl std::fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkSecret(***)")
    }
}

impl LinkSecret {
    /// Makes one from the system's randomness.
    pub fn generate() -> Result<Self> {
        let text = format!("{PREFIX}{}", random_base62(RANDOM_CHARS)?);
        Ok(Self { digest: hash::sha256(text.as_bytes()), text })
    }

    /// The digest of what has the form of a secret; nobody has to be asked about anything else.
    pub fn digest_of(text: &str) -> Option<[u8; 32]> {
        let random = text.strip_prefix(PREFIX)?;
        let well = random.len() == RANDOM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric());
        well.then(|| hash::sha256(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_795_000_000_000_000);
    const MOMENT: Duration = Duration::from_micros(1);

    fn create(display_name: &str, expire_time: Option<Time>) -> Result<MirrorLink> {
        let new = NewMirrorLink { display_name: display_name.to_owned(), expire_time };
        MirrorLink::create(&Scope::Platform, new, MirrorLinkId(Uuid::nil()), NOW)
    }

    #[test]
    fn a_year_is_the_longest_life_and_an_expiry_is_required() {
        assert!(create("auditor", Some(NOW.plus(MAX_LIFE))).is_ok());
        assert!(create("auditor", Some(NOW.plus(MAX_LIFE + MOMENT))).is_err());
        assert!(create("auditor", Some(NOW)).is_err());
        assert!(create("auditor", None).is_err());
        assert!(create("", Some(NOW.plus(MOMENT))).is_err());
    }

    #[test]
    fn a_link_ends_by_itself_or_by_its_one_revocation() {
        let link = create("auditor", Some(NOW.plus(MOMENT))).unwrap();
        assert!(link.is_good(NOW) && !link.is_good(link.expire_time));
        let revoked = link.revoked(NOW).unwrap();
        assert!(!revoked.is_good(NOW));
        assert!(revoked.revoked(NOW).is_err());
    }

    #[test]
    fn a_secret_has_the_documented_form() {
        let secret = LinkSecret::generate().unwrap();
        assert_eq!(secret.text.len(), 47);
        assert_eq!(LinkSecret::digest_of(&secret.text), Some(secret.digest));
        assert_ne!(LinkSecret::generate().unwrap().text, secret.text);
        assert!(!format!("{secret:?}").contains(&secret.text));
        for bad in
            ["", "pvl_", &secret.text[..46], &format!("{}x", secret.text), &secret.text.replace("pvl", "pvx")]
        {
            assert_eq!(LinkSecret::digest_of(bad), None, "{bad}");
        }
        assert_eq!(LinkSecret::digest_of(&format!("pvl_{}-", &secret.text[4..46])), None);
    }
}
