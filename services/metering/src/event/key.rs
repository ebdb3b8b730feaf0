//! What makes an event the same event, and what makes two of them say the same.

use kernel::ids::{PrincipalId, TenantId};

use super::model::UsageEvent;

/// A 128-bit BLAKE3 over parts, each preceded by its length, so that no two lists of parts are the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Of `parts`.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        Self(digest)
    }

    /// As stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it was stored.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// In lower-case hex.
    pub fn hex(&self) -> String {
        kernel::hash::hex(&self.0)
    }
}

/// What makes an event the same event: the tenant of the credential, the source and the id.
pub fn dedupe_key(tenant: TenantId, source: &str, id: &str) -> Digest {
    Digest::of(&[tenant.0.as_bytes(), source.as_bytes(), id.as_bytes()])
}

/// What makes two events of one key say the same: all that is kept of them, and whose they are.
///
/// What an adapter read has it all in its attributes; dimensions and amounts follow from them and are left out, so that a later
/// way of reading does not turn a repetition into a conflict. A time that the sender left out is none of its words.
///
/// `dims` and `amounts` are those of the event as stored.
pub fn payload_key(event: &UsageEvent, principal: Option<PrincipalId>, dims: &str, amounts: &str) -> Digest {
    let principal = principal.map(|p| p.0.into_bytes());
    let said = if event.attributes.is_empty() { [dims, amounts] } else { [event.attributes.as_str(), ""] };
    let time = if event.timed { event.time.micros() } else { i64::MIN };
    let who = principal.as_ref().map_or(&[][..], |p| p.as_slice());
    let parts =
        [event.event_type.as_bytes(), &time.to_be_bytes(), who, said[0].as_bytes(), said[1].as_bytes()];
    // one part for what an adapter kept: it was so before there were events that came as such
    Digest::of(if event.attributes.is_empty() { &parts } else { &parts[..4] })
}
