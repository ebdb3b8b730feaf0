//! Terms: under which keys an event stands in the search index. They are keyed digests, so that the index tells nobody
//! what it does not know.

use kernel::{Kernel, hash};
use uuid::Uuid;

use super::{
    model::{Entry, keys},
    network,
    words::words_of,
};

/// What a term is of. The letter is part of what is digested, so it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Who acted.
    Actor,
    /// For whom an agent acted.
    Owner,
    /// `role.create`.
    Action,
    /// `role.`
    ActionUnder,
    /// `ok`.
    Outcome,
    /// `admin_write`.
    Class,
    /// Name of a target.
    Target,
    /// `tenants/acme/roles/`, for everything below.
    TargetUnder,
    /// On whose mandate.
    Partner,
    /// Under which delegation.
    Delegation,
    /// The request.
    Request,
    /// The trace.
    Trace,
    /// A prefix of the caller's address.
    Network,
    /// A word of the event.
    Word,
    /// A key with which something in the event is sealed.
    Key,
    /// Every event.
    Every,
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Actor => b'a',
            Self::Owner => b'o',
            Self::Action => b'v',
            Self::ActionUnder => b'V',
            Self::Outcome => b'r',
            Self::Class => b'c',
            Self::Target => b't',
            Self::TargetUnder => b'T',
            Self::Partner => b'p',
            Self::Delegation => b'd',
            Self::Request => b'q',
            Self::Trace => b'w',
            Self::Network => b'n',
            Self::Word => b'x',
            Self::Key => b'k',
            Self::Every => b'e',
        }
    }
}

/// Makes the terms of one log.
#[derive(Clone)]
pub struct Terms {
    key: [u8; 32],
    scope: Uuid,
}

impl Terms {
    /// Of the log of `scope`.
    pub fn new(kernel: &Kernel, scope: Uuid) -> Self {
        Self { key: kernel.key_for("audit term"), scope }
    }

    /// The term of a value: the first eight bytes of HMAC-SHA256 over scope, kind and value.
    pub fn term(&self, kind: Kind, value: &str) -> i64 {
        let letter = [0, kind.letter(), 0];
        let bytes = [self.scope.as_bytes(), letter.as_slice(), value.as_bytes()].concat();
        let digest = hash::mac(&self.key, &bytes);
        digest.first_chunk().map_or(0, |eight| i64::from_be_bytes(*eight))
    }
}

/// Every front part of `text` that ends with `mark`.
fn fronts(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.match_indices(mark).filter_map(move |(at, mark)| text.get(..at + mark.len()))
}

/// Everything under which an opened entry is found, but for its keys, which only the sealed entry names.
pub fn spell(entry: Entry<'_>, add: &mut impl FnMut(Kind, &str)) {
    add(Kind::Every, "");
    add(Kind::Actor, entry.actor());
    add(Kind::Owner, entry.owner());
    add(Kind::Action, entry.action());
    fronts(entry.action(), '.').for_each(|front| add(Kind::ActionUnder, front));
    add(Kind::Outcome, entry.outcome());
    add(Kind::Class, entry.class());
    add(Kind::Partner, entry.partner());
    add(Kind::Delegation, entry.delegation());
    add(Kind::Request, entry.request_id());
    add(Kind::Trace, entry.trace_id());
    let mut targets = entry.targets().peekable();
    if targets.peek().is_none() {
        add(Kind::Target, "");
    }
    for target in targets {
        add(Kind::Target, target);
        fronts(target, '/').for_each(|front| add(Kind::TargetUnder, front));
    }
    spell_personal(entry, add);
}

/// What may come from a person's data.
pub fn spell_personal(entry: Entry<'_>, add: &mut impl FnMut(Kind, &str)) {
    entry.ip().into_iter().flat_map(network::prefixes).for_each(|prefix| add(Kind::Network, &prefix));
    for word in words_of(entry) {
        add(Kind::Word, &word);
    }
}

/// The keys that a sealed entry names.
pub fn spell_keys(sealed: &serde_json::Value, add: &mut impl FnMut(Kind, &str)) {
    for key in keys(sealed) {
        add(Kind::Key, &key.to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_found_under_its_names_their_fronts_and_its_network() {
        let entry = json!({
            "act": "role.create", "actor": {"p": "tenants/a/principals/m", "o": "tenants/a/principals/n"}, "out": "ok",
            "cls": "admin_write", "tgt": [{"id": "tenants/a/roles/b"}], "req": "r", "trace": "t", "ip": "10.1.2.3",
        });
        let mut found = Vec::new();
        spell(Entry(&entry), &mut |kind, value: &str| found.push((kind, value.to_owned())));
        for (kind, value) in [
            (Kind::Actor, "tenants/a/principals/m"),
            (Kind::Owner, "tenants/a/principals/n"),
            (Kind::Action, "role.create"),
            (Kind::ActionUnder, "role."),
            (Kind::Target, "tenants/a/roles/b"),
            (Kind::TargetUnder, "tenants/"),
            (Kind::TargetUnder, "tenants/a/roles/"),
            (Kind::Partner, ""),
            (Kind::Delegation, ""),
            (Kind::Network, "32/8/a"),
            (Kind::Network, "32/32/a010203"),
            (Kind::Word, "tenants"),
        ] {
            assert!(found.contains(&(kind, value.to_owned())), "{kind:?} {value}: {found:?}");
        }
    }

    #[test]
    fn a_term_depends_on_key_log_kind_and_value() {
        let terms = Terms { key: [1; 32], scope: Uuid::nil() };
        let one = terms.term(Kind::Word, "maria");
        assert_eq!(one, terms.term(Kind::Word, "maria"));
        assert_ne!(one, terms.term(Kind::Word, "marie"));
        assert_ne!(one, terms.term(Kind::Actor, "maria"));
        assert_ne!(one, Terms { key: [2; 32], ..terms.clone() }.term(Kind::Word, "maria"));
        assert_ne!(one, Terms { scope: Uuid::max(), ..terms }.term(Kind::Word, "maria"));
    }
}
