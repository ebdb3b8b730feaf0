//! What a sink authenticates with: kept wrapped, never shown, and the signatures of Standard Webhooks made with it.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use kernel::{Kernel, Result, audit::sealed, error::Error, hash};

use crate::{model::SinkId, target::Scheme};

/// Purpose of the key that secrets are wrapped with.
const WRAPPING: &str = "sink secret";
/// Purpose of the key of [`Secret::tag`].
const TAG: &str = "sink secret tag";
/// Bytes of a made HMAC key.
const HMAC_BYTES: usize = 32;
/// Sizes of an HMAC key, bytes (Standard Webhooks).
const HMAC_SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// The texts that a sink authenticates with. It is not printed, not even by `{:?}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Vec<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// One that is these texts.
    pub fn new(texts: Vec<String>) -> Self {
        Self(texts)
    }

    /// One text, or none when it is empty.
    pub fn one(text: String) -> Self {
        Self(Some(text).filter(|t| !t.is_empty()).into_iter().collect())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The only text, or an empty one.
    pub fn text(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The texts, for whoever made them: shown once.
    pub fn reveal(&self) -> Vec<String> {
        self.0.clone()
    }

    /// As stored, bound to its sink.
    pub fn wrap(&self, kernel: &Kernel, sink: SinkId) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(&self.0).map_err(Error::internal)?;
        sealed::encrypt(&kernel.key_for(WRAPPING), sink.0.as_bytes(), &plain)
    }

    /// What [`Secret::wrap`] made.
    pub fn unwrap(kernel: &Kernel, sink: SinkId, wrapped: &[u8]) -> Result<Self> {
        let plain = sealed::decrypt(&kernel.key_for(WRAPPING), sink.0.as_bytes(), wrapped)?;
        serde_json::from_slice(&plain).map(Self).map_err(Error::internal)
    }

    /// Tells one secret from another on the record without saying anything of it; empty for none.
    pub fn tag(&self, kernel: &Kernel) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mac = hash::mac(&kernel.key_for(TAG), self.0.join("\n").as_bytes());
        let mut tag = hash::hex(&mac);
        tag.truncate(16);
        tag
    }

    /// The keys of a webhook.
    pub fn keys(&self) -> Result<Vec<Key>, &'static str> {
        self.0.iter().map(|text| Key::parse(text)).collect()
    }
}

/// A key that signs messages.
pub enum Key {
    /// `whsec_…`.
    Hmac(Vec<u8>),
    /// `whsk_…`.
    Ed25519(Box<SigningKey>),
}

impl Key {
    /// Reads a key; what is wrong with it does not repeat it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(base64) = text.strip_prefix("whsec_") {
            let bytes = BASE64_STANDARD.decode(base64).map_err(|_| "`whsec_` is not followed by base64")?;
            if !HMAC_SIZES.contains(&bytes.len()) {
                return Err("a `whsec_` key has 24 to 64 bytes");
            }
            return Ok(Self::Hmac(bytes));
        }
        let base64 = text.strip_prefix("whsk_").ok_or("a key begins with `whsec_` or `whsk_`")?;
        let bytes = BASE64_STANDARD.decode(base64).map_err(|_| "`whsk_` is not followed by base64")?;
        let (seed, public) = bytes
            .split_first_chunk::<32>()
            .ok_or("a `whsk_` key has 32 bytes, or 64 with its public half")?;
        let key = SigningKey::from_bytes(seed);
        if !public.is_empty() && public != key.verifying_key().as_bytes() {
            return Err("a `whsk_` key has 32 bytes, or 64 with its public half");
        }
        Ok(Self::Ed25519(Box::new(key)))
    }

    /// A new key, as text.
    pub fn generate(scheme: Scheme) -> Result<String> {
        let mut bytes = [0_u8; HMAC_BYTES];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        Ok(match scheme {
            Scheme::Hmac => format!("whsec_{}", BASE64_STANDARD.encode(bytes)),
            Scheme::Ed25519 => {
                let pair = SigningKey::from_bytes(&bytes).to_keypair_bytes();
                format!("whsk_{}", BASE64_STANDARD.encode(pair))
            }
        })
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Hmac(_) => Scheme::Hmac,
            Self::Ed25519(_) => Scheme::Ed25519,
        }
    }

    /// `whpk_…`: what others verify with.
    pub fn public(&self) -> Option<String> {
        match self {
            Self::Hmac(_) => None,
            Self::Ed25519(key) => {
                Some(format!("whpk_{}", BASE64_STANDARD.encode(key.verifying_key().as_bytes())))
            }
        }
    }

    /// One signature of the header `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let content = format!("{id}.{timestamp}.{body}");
        match self {
            Self::Hmac(key) => {
                format!("v1,{}", BASE64_STANDARD.encode(hash::mac(key, content.as_bytes())))
            }
            Self::Ed25519(key) => {
                format!("v1a,{}", BASE64_STANDARD.encode(key.sign(content.as_bytes()).to_bytes()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_as_it_says() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_ed25519_signature_verifies_with_the_public_key_that_is_shown() {
        let text = Key::generate(Scheme::Ed25519).unwrap();
        let key = Key::parse(&text).unwrap();
        let public = BASE64_STANDARD.decode(key.public().unwrap().strip_prefix("whpk_").unwrap()).unwrap();
        let public = ed25519_dalek::VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap();
        let signed = key.sign("id", 7, "{}");
        let bytes = BASE64_STANDARD.decode(signed.strip_prefix("v1a,").unwrap()).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
        public.verify_strict(b"id.7.{}", &signature).unwrap();
        assert!(public.verify_strict(b"id.8.{}", &signature).is_err());
    }

    #[test]
    fn a_key_of_another_form_is_refused_without_repeating_it() {
        for bad in ["", "secret", "whsec_", "whsec_!!", "whsec_c2hvcnQ=", "whsk_c2hvcnQ=", "whpk_AAAA"] {
            let why = Key::parse(bad).err().unwrap();
            assert!(bad.is_empty() || !why.contains(bad) || bad == "whsec_", "{bad}: {why}");
        }
        let mut pair = BASE64_STANDARD.decode(&Key::generate(Scheme::Ed25519).unwrap()[5..]).unwrap();
        pair[63] ^= 1;
        assert!(Key::parse(&format!("whsk_{}", BASE64_STANDARD.encode(pair))).is_err());
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::one("hunter2".to_owned());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
