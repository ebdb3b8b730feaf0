//! Where and how a sink delivers, checked, without any I/O.

use std::net::IpAddr;

use audit::https::{Reach, roots};
use http::{HeaderName, HeaderValue, Uri};
use kernel::{Result, check::Checks, config::Sinks, error::Error, ids::clip};
use proto::sink::v1 as pb;
use serde::{Deserialize, Serialize};

use crate::secret::{Key, Secret};

/// Size of a file where nothing was said, bytes.
const FILE_BYTES: i64 = 64 << 20;
/// Longest URL, bytes.
const MAX_URL: usize = 2_048;
/// Largest certificate text, bytes.
const MAX_CA: usize = 16 * 1024;
/// Field of the certificate authorities.
const CA: &str = "sink.ca_certificate";
/// Headers that are ours.
const OURS: [&str; 5] = ["host", "content-type", "content-length", "user-agent", "transfer-encoding"];
/// Most keys of a webhook.
const MAX_KEYS: usize = 4;

/// How a webhook is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `v1`.
    Hmac,
    /// `v1a`.
    Ed25519,
}

/// Where and how; nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// Standard Webhooks.
    Webhook {
        /// Where.
        url: String,
        /// How each of its keys signs.
        schemes: Vec<Scheme>,
        /// What verifies the Ed25519 signatures.
        public_keys: Vec<String>,
    },
    /// HTTP Event Collector.
    SplunkHec {
        /// Where, without the path of the collector.
        url: String,
        /// Index, or empty.
        index: String,
    },
    /// RFC 5424 over TLS.
    Syslog {
        /// `host:port`.
        address: String,
    },
    /// NDJSON files.
    File {
        /// Below the log's directory.
        directory: String,
        /// Size at which a file is closed.
        max_bytes: i64,
        /// Closed files that are kept; 0 for all.
        max_files: i32,
    },
    /// OTLP/HTTP logs.
    Otlp {
        /// Where.
        url: String,
        /// Header that authenticates, or empty.
        header: String,
    },
}

/// What a caller says of a target.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where and how.
    pub target: Target,
    /// What to authenticate with; empty when nothing was said.
    pub secret: Secret,
}

impl Target {
    /// As stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::SplunkHec { .. } => "splunk_hec",
            Self::Syslog { .. } => "syslog",
            Self::File { .. } => "file",
            Self::Otlp { .. } => "otlp",
        }
    }

    /// The URL that it sends to, if that is how it sends.
    fn url(&self) -> Option<&str> {
        match self {
            Self::Webhook { url, .. } | Self::SplunkHec { url, .. } | Self::Otlp { url, .. } => Some(url),
            Self::Syslog { .. } | Self::File { .. } => None,
        }
    }

    /// Host and port that it connects to; none for files.
    pub fn host(&self) -> Option<(String, u16)> {
        match self {
            Self::Syslog { address } => split(address),
            other => {
                let uri: Uri = other.url()?.parse().ok()?;
                let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
                Some((uri.host()?.trim_matches(['[', ']']).to_owned(), port))
            }
        }
    }
}

/// `host:port`, also `[::1]:port`.
fn split(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    let host = match literal {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None if plain => host.to_owned(),
        None => return None,
    };
    Some((host, port.parse().ok().filter(|p| *p > 0)?))
}

/// Where sinks may deliver in this deployment.
pub fn reach(settings: &Sinks) -> Reach {
    Reach { loopback: settings.allow_loopback, private: settings.allow_private_networks }
}

impl Draft {
    /// Reads what a caller says, and holds it against the limits and what the deployment allows.
    pub fn read(target: pb::sink::Target, ca: &str, settings: &Sinks) -> Result<Self> {
        let mut checks = Checks::new();
        let draft = match target {
            pb::sink::Target::Webhook(new) => webhook(new, settings, &mut checks),
            pb::sink::Target::SplunkHec(new) => {
                let printable = new.token.chars().all(|c| c.is_ascii_graphic());
                let words = "is not a token: up to 256 printable characters without spaces";
                checks.that("sink.splunk_hec.token", printable && new.token.len() <= 256, words);
                checks.text("sink.splunk_hec.index", &new.index, 0, 128);
                check_url("sink.splunk_hec.url", &new.url, settings, &mut checks);
                let url = new.url.trim_end_matches('/').to_owned();
                Self { target: Target::SplunkHec { url, index: new.index }, secret: Secret::one(new.token) }
            }
            pb::sink::Target::Syslog(new) => {
                let host = split(&new.address);
                let words =
                    format!("`{}` is not `host:port`, such as `siem.example.com:6514`", clip(&new.address));
                checks.that("sink.syslog.address", host.is_some(), words);
                if let Some((host, _)) = host {
                    check_literal("sink.syslog.address", &host, settings, &mut checks);
                }
                Self { target: Target::Syslog { address: new.address }, secret: Secret::default() }
            }
            pb::sink::Target::File(new) => file(new, settings, &mut checks),
            pb::sink::Target::Otlp(new) => otlp(new, settings, &mut checks),
        };
        check_ca(&draft.target, ca, &mut checks);
        checks.done().map(|()| draft)
    }

    /// What a new sink begins with: secrets are made where the caller brought none and some are needed. Returns the made ones.
    pub fn begun(self) -> Result<(Self, Secret)> {
        match &self.target {
            Target::Webhook { url, schemes, .. } if self.secret.is_empty() => {
                let schemes = if schemes.is_empty() { vec![Scheme::Hmac] } else { schemes.clone() };
                let keys = schemes.into_iter().map(Key::generate).collect::<Result<Vec<_>>>()?;
                let secret = Secret::new(keys);
                Ok((Self { target: signed(url.clone(), &secret)?, secret: secret.clone() }, secret))
            }
            Target::SplunkHec { .. } if self.secret.is_empty() => {
                Err(Error::invalid("sink.splunk_hec.token", "is missing; give the collector's token"))
            }
            Target::Otlp { header, .. } if self.secret.is_empty() && !header.is_empty() => {
                Err(Error::invalid("sink.otlp.header_value", "is missing; give the value of the header"))
            }
            _ => Ok((self, Secret::default())),
        }
    }

    /// What a sink goes on with that had `old` and `kept`.
    pub fn instead_of(self, old: &Target, kept: Secret) -> Result<Self> {
        if self.target.kind() != old.kind() {
            let message = format!("a `{}` sink stays one; create another sink for another kind", old.kind());
            return Err(Error::invalid("sink.target", message));
        }
        if !self.secret.is_empty() {
            return Ok(self);
        }
        // whoever may change where it goes must not learn what goes there
        let moved = |field| {
            Error::invalid(field, "must be given again with another url, so that it goes nowhere unasked")
        };
        let target = match (self.target, old) {
            (Target::Webhook { url, .. }, _) => signed(url, &kept)?,
            (Target::SplunkHec { url, .. }, Target::SplunkHec { url: was, .. }) if url != *was => {
                return Err(moved("sink.splunk_hec.token"));
            }
            (target @ Target::Otlp { .. }, _) if matches!(&target, Target::Otlp { header, .. } if header.is_empty()) =>
            {
                return Ok(Self { target, secret: Secret::default() });
            }
            (Target::Otlp { url, header }, Target::Otlp { url: was, header: had })
                if url != *was || header != *had =>
            {
                return Err(moved("sink.otlp.header_value"));
            }
            (target, _) => target,
        };
        Ok(Self { target, secret: kept })
    }
}

/// A webhook with what its keys say of themselves.
fn signed(url: String, secret: &Secret) -> Result<Target> {
    let keys = secret.keys().map_err(Error::internal)?;
    let schemes = keys.iter().map(Key::scheme).collect();
    Ok(Target::Webhook { url, schemes, public_keys: keys.iter().filter_map(Key::public).collect() })
}

fn webhook(new: pb::Webhook, settings: &Sinks, checks: &mut Checks) -> Draft {
    check_url("sink.webhook.url", &new.url, settings, checks);
    let many = new.secrets.len().max(new.schemes.len());
    checks.that("sink.webhook.secrets", many <= MAX_KEYS, format!("has {many} keys; use at most {MAX_KEYS}"));
    let mut schemes = Vec::new();
    for scheme in new.schemes() {
        match scheme {
            pb::SignatureScheme::Hmac => schemes.push(Scheme::Hmac),
            pb::SignatureScheme::Ed25519 => schemes.push(Scheme::Ed25519),
            pb::SignatureScheme::Unspecified => {
                checks.that("sink.webhook.schemes", false, "holds an unknown scheme; use HMAC or ED25519");
            }
        }
    }
    let secret = Secret::new(new.secrets);
    let plain = Target::Webhook { url: new.url.clone(), schemes, public_keys: Vec::new() };
    let target = match secret.keys() {
        Ok(keys) if keys.is_empty() => plain,
        Ok(_) => signed(new.url, &secret).unwrap_or(plain),
        Err(why) => {
            checks.that("sink.webhook.secrets", false, why);
            plain
        }
    };
    Draft { target, secret }
}

fn otlp(new: pb::Otlp, settings: &Sinks, checks: &mut Checks) -> Draft {
    check_url("sink.otlp.url", &new.url, settings, checks);
    let name = HeaderName::try_from(new.header.as_str()).is_ok_and(|n| !OURS.contains(&n.as_str()));
    let words = format!("`{}` is not a header that you can set", clip(&new.header));
    checks.that("sink.otlp.header", new.header.is_empty() || name, words);
    let value = HeaderValue::try_from(new.header_value.as_str()).is_ok() && new.header_value.len() <= 1_024;
    checks.that(
        "sink.otlp.header_value",
        value,
        "is not a value of a header: up to 1024 printable characters",
    );
    let named = new.header_value.is_empty() || !new.header.is_empty();
    checks.that("sink.otlp.header", named, "is missing; name the header of the value");
    let header = new.header.to_lowercase();
    Draft { target: Target::Otlp { url: new.url, header }, secret: Secret::one(new.header_value) }
}

fn file(new: pb::File, settings: &Sinks, checks: &mut Checks) -> Draft {
    let off = settings.file_dir.as_os_str().is_empty();
    checks.that("sink.file", !off, "is not possible here: the operator has set no `sinks.file_dir`");
    let segments: Vec<_> = new.directory.split('/').collect();
    let good = |s: &&str| {
        (1..=63).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    let ok = segments.len() <= 8 && segments.iter().all(good);
    let words = format!(
        "`{}` is not a directory below the log's own: 1 to 8 segments of 1 to 63 of `a-z 0-9 - _`",
        clip(&new.directory)
    );
    checks.that("sink.file.directory", ok, words);
    let bytes = if new.max_bytes == 0 { FILE_BYTES } else { new.max_bytes };
    checks.that("sink.file.max_bytes", (1_024..=1 << 30).contains(&bytes), "is not 1024 to 1073741824, or 0");
    checks.that("sink.file.max_files", (0..=10_000).contains(&new.max_files), "is not 0 to 10000");
    let target = Target::File { directory: new.directory, max_bytes: bytes, max_files: new.max_files };
    Draft { target, secret: Secret::default() }
}

fn check_ca(target: &Target, ca: &str, checks: &mut Checks) {
    if ca.is_empty() {
        return;
    }
    checks.that(CA, !matches!(target, Target::File { .. }), "is not for files; leave it empty");
    checks.that(CA, ca.len() <= MAX_CA, format!("has {} bytes; use at most {MAX_CA}", ca.len()));
    let why = roots(ca).err();
    let words = format!("is not a PEM certificate: {}", why.as_deref().unwrap_or_default());
    checks.that(CA, why.is_none(), words);
}

fn check_url(field: &str, url: &str, settings: &Sinks, checks: &mut Checks) {
    let uri: Option<Uri> = url.parse().ok().filter(|_| url.len() <= MAX_URL);
    let Some((uri, host)) = uri.as_ref().and_then(|u| Some((u, u.host()?.trim_matches(['[', ']'])))) else {
        checks.that(
            field,
            false,
            format!("`{}` is not a URL: write `https://…`, at most {MAX_URL} bytes", clip(url)),
        );
        return;
    };
    let bare = uri.authority().is_some_and(|a| !a.as_str().contains('@')) && !url.contains('#');
    checks.that(field, bare, "holds a user, a password or a fragment; leave them out");
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let plain = uri.scheme_str() == Some("http") && here && settings.allow_loopback;
    let words = "is not `https://`; plain http is only for this machine, and only where `sinks.allow_loopback` is set";
    checks.that(field, uri.scheme_str() == Some("https") || plain, words);
    check_literal(field, host, settings, checks);
}

/// An address in the place of a name is refused at once; names are looked up later, and every time.
fn check_literal(field: &str, host: &str, settings: &Sinks, checks: &mut Checks) {
    if let Ok(ip) = host.parse()
        && let Err(why) = reach(settings).check(ip)
    {
        checks.that(field, false, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(loopback: bool) -> Sinks {
        Sinks {
            file_dir: "/var/log/provost".into(),
            allow_loopback: loopback,
            allow_private_networks: false,
            retry_min_ms: 1,
            retry_max_ms: 1,
        }
    }

    fn hook(url: &str, loopback: bool) -> Result<Draft> {
        let new = pb::Webhook { url: url.to_owned(), ..pb::Webhook::default() };
        Draft::read(pb::sink::Target::Webhook(new), "", &settings(loopback))
    }

    #[test]
    fn only_https_to_others_and_plain_http_to_oneself_where_it_is_allowed() {
        assert!(hook("https://siem.example.com/in?x=1", false).is_ok());
        assert!(hook("http://127.0.0.1:99/x", true).is_ok() && hook("http://[::1]:99/x", true).is_ok());
        for bad in [
            "",
            "siem",
            "/x",
            "ftp://a.example",
            "http://a.example",
            "http://127.0.0.1/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest",
            "https://[fd00::1]/",
            "https://u:p@a.example/",
            "https://a.example/#f",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert!(hook(bad, false).is_err(), "{bad}");
        }
        assert!(hook("http://a.example/", true).is_err());
    }

    #[test]
    fn a_directory_stays_below_its_own() {
        let file = |directory: &str| {
            let new = pb::File { directory: directory.to_owned(), ..pb::File::default() };
            Draft::read(pb::sink::Target::File(new), "", &settings(false))
        };
        assert!(file("siem").is_ok() && file("a/b_c/d-1").is_ok());
        for bad in
            ["", "/", "/etc", "..", "a/../b", "a//b", ".", "a/.", "A", "a\\b", "a\0b", "a/b/c/d/e/f/g/h/i"]
        {
            assert!(file(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_does_not_follow_a_url_that_somebody_changed() {
        let splunk = |url: &str, token: &str| {
            let new = pb::SplunkHec { url: url.to_owned(), token: token.to_owned(), index: String::new() };
            Draft::read(pb::sink::Target::SplunkHec(new), "", &settings(false)).unwrap()
        };
        let (old, _) = splunk("https://a.example:8088", "t").begun().unwrap();
        assert!(splunk("https://b.example", "").instead_of(&old.target, old.secret.clone()).is_err());
        let same = splunk("https://a.example:8088", "").instead_of(&old.target, old.secret.clone()).unwrap();
        assert_eq!(same.secret, old.secret);
        assert!(splunk("https://b.example", "u").instead_of(&old.target, old.secret.clone()).is_ok());
        assert!(hook("https://a.example", false).unwrap().instead_of(&old.target, old.secret).is_err());
        assert!(splunk("https://a.example", "").begun().is_err());
    }

    #[test]
    fn a_webhook_without_keys_gets_those_that_were_asked_for() {
        let new = pb::Webhook {
            url: "https://a.example".to_owned(),
            schemes: vec![pb::SignatureScheme::Hmac.into(), pb::SignatureScheme::Ed25519.into()],
            ..pb::Webhook::default()
        };
        let draft = Draft::read(pb::sink::Target::Webhook(new), "", &settings(false)).unwrap();
        let (draft, made) = draft.begun().unwrap();
        assert_eq!(made.reveal().len(), 2);
        let Target::Webhook { schemes, public_keys, .. } = draft.target else { panic!() };
        assert_eq!((schemes, public_keys.len()), (vec![Scheme::Hmac, Scheme::Ed25519], 1));
    }

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(split("a.example:6514"), Some(("a.example".to_owned(), 6514)));
        assert_eq!(split("[::1]:1"), Some(("::1".to_owned(), 1)));
        for bad in ["", "a", "a:", ":1", "a:0", "a:99999", "a b:1", "::1:5", "[x]:1"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
