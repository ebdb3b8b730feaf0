//! The bytes of a record: RFC 8785 canonical JSON of the fields in the specification of the audit log, version 1.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    clock::Time,
    error::{Error, Result},
    hash,
    ids::EventId,
};

/// Largest entry in bytes; beyond it the longest values are replaced by their digests.
const MAX_ENTRY: usize = 32 * 1024;
/// Integers from here on are not all numbers of JSON as RFC 8785 has them.
const LARGE: u64 = 1 << 53;
/// Length of a digest as it stands in an entry.
const MAX_DIGEST: usize = 77;

/// An entry of the log. Its fields, and those of its parts, stand in the order of canonical JSON.
#[derive(Serialize)]
pub(super) struct Entry<'e> {
    pub act: String,
    pub actor: Acting<'e>,
    pub chg: Vec<Change>,
    pub cls: &'static str,
    pub id: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Value>,
    pub log: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    pub out: &'static str,
    pub pol: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<Value>,
    pub req: Cow<'e, str>,
    pub t: Time,
    pub tgt: Vec<Acted<'e>>,
    pub trace: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ua: Option<Value>,
    pub v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
}

/// Who acted, and for whom.
#[derive(Serialize)]
pub(super) struct Acting<'e> {
    pub id: Uuid,
    pub k: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub o: Option<&'e str>,
    pub p: &'e str,
}

/// What was acted on.
#[derive(Serialize)]
pub(super) struct Acted<'e> {
    pub id: &'e str,
    pub k: &'static str,
}

/// On whose mandate.
#[derive(Serialize)]
pub(super) struct Via {
    pub partner: String,
}

/// A field, new and old.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    pub f: String,
    pub n: Value,
    pub o: Value,
}

impl Change {
    pub fn field(&self) -> &str {
        self.f.trim_start_matches('/')
    }
}

impl Entry<'_> {
    /// RFC 8785. What is there as it is written takes no detour.
    pub fn text(&self) -> Result<String> {
        let values = self.chg.iter().flat_map(|change| [&change.n, &change.o]);
        if values.chain(&self.ip).chain(&self.ua).chain(&self.q).all(is_plain)
            && self.n.is_none_or(|n| n < LARGE)
        {
            let text = serde_json::to_string(self).map_err(Error::internal)?;
            if text.len() <= MAX_ENTRY {
                return Ok(text);
            }
        }
        canonical(serde_json::to_value(self).map_err(Error::internal)?)
    }
}

/// Field by field, what is not as it was.
pub(super) fn changes(before: Option<Value>, after: Option<Value>) -> Vec<Change> {
    let fields = |value| match value {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (mut old, mut new) = (fields(before), fields(after));
    let mut names: Vec<_> = old.keys().chain(new.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: String| {
        let (o, n) = (old.remove(&name), new.remove(&name));
        (o != n).then(|| Change { f: format!("/{name}"), n: ordered(n), o: ordered(o) })
    };
    names.into_iter().filter_map(change).collect()
}

/// A value with the names in it in order. They are already, unless a crate of the same build has `serde_json` keep them as
/// they come.
fn ordered(value: Option<Value>) -> Value {
    let mut value = value.unwrap_or_default();
    value.sort_all_objects();
    value
}

/// RFC 8785; in an entry over the limit the longest old and new values give way to their digests, as many as it takes.
fn canonical(mut entry: Value) -> Result<String> {
    entry = ordered(Some(entry));
    loop {
        let plain = is_plain(&entry);
        let text = if plain { Ok(entry.to_string()) } else { serde_json_canonicalizer::to_string(&entry) };
        let text = text.map_err(Error::internal)?;
        if text.len() <= MAX_ENTRY || !shorten(&mut entry) {
            return Ok(text);
        }
    }
}

/// Whether the JSON that `serde_json` writes is the canonical one already, which it is but for the order of names that are
/// not ASCII and for numbers that are not small integers.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|n| n.unsigned_abs() < LARGE),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(fields) => {
            let names = fields.keys();
            names.clone().zip(names.clone().skip(1)).all(|(a, b)| a < b)
                && names.clone().all(|name| name.is_ascii())
                && fields.values().all(is_plain)
        }
    }
}

/// Puts the SHA-256 of its JSON in the place of the longest value of the changes; `false` when no value is longer than
/// what would take its place.
fn shorten(entry: &mut Value) -> bool {
    let changes = entry.get_mut("chg").and_then(Value::as_array_mut).into_iter().flatten();
    let values = changes.filter_map(Value::as_object_mut).flat_map(|change| change.iter_mut());
    let sides = values.filter(|(side, _)| *side != "f").map(|(_, value)| (value.to_string(), value));
    let longest = sides.max_by_key(|(text, _)| text.len()).filter(|(text, _)| text.len() > MAX_DIGEST);
    let Some((text, value)) = longest else { return false };
    *value = json!({"sha256": hash::hex(&hash::sha256(text.as_bytes()))});
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            (-9_i64..9).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\x00-\\x1f\"\\\\/\\x7f\\u{2028}\u{1f600}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            let name = prop_oneof!["[a-z$_]{0,3}", any::<String>()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..5)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_entry_is_canonical_json_whatever_is_in_it(
            before in any_json(),
            after in any_json(),
            text in any::<String>(),
            n in prop::option::of(any::<u64>()),
        ) {
            let told = Some(Value::from(text.as_str()));
            let entry = Entry {
                act: text.clone(),
                actor: Acting { id: Uuid::nil(), k: "user", o: Some(&text), p: &text },
                chg: changes(Some(json!({"a": after, "b": before})), Some(json!({"a": before, "c": after}))),
                cls: "auth",
                id: EventId(Uuid::nil()),
                ip: told.clone(),
                log: text.clone(),
                n,
                out: "ok",
                pol: &text,
                q: told.clone(),
                req: text.as_str().into(),
                t: Time::from_micros(7),
                tgt: vec![Acted { id: &text, k: "role" }],
                trace: &text,
                ua: told,
                v: 1,
                via: Some(Via { partner: text.clone() }),
            };
            let value = serde_json::to_value(&entry).unwrap();
            prop_assert_eq!(entry.text().unwrap(), serde_json_canonicalizer::to_string(&value).unwrap());
        }

        #[test]
        fn whatever_is_recorded_is_canonical_json(value in any_json()) {
            let text = canonical(value.clone()).unwrap();
            prop_assert_eq!(text, serde_json_canonicalizer::to_string(&value).unwrap());
        }
    }

    #[test]
    fn a_change_is_what_is_not_as_it_was_field_by_field() {
        let (before, after) = (json!({"b": 1, "c": null, "d": [1]}), json!({"a": "x", "b": 2, "d": [1]}));
        let told = serde_json::to_value(changes(Some(before), Some(after))).unwrap();
        let expected = json!([
            {"f": "/a", "o": null, "n": "x"},
            {"f": "/b", "o": 1, "n": 2},
            {"f": "/c", "o": null, "n": null},
        ]);
        assert_eq!(told, expected);
        assert!(changes(None, Some(json!("text"))).is_empty(), "only resources have fields");
    }

    #[test]
    fn a_large_entry_keeps_all_but_its_longest_values() {
        let (long, longer) = ("x".repeat(20_000), "y".repeat(40_000));
        let changes = json!([
            {"f": "/revision", "o": 1, "n": 2},
            {"f": "/words", "o": long, "n": longer},
            {"f": "/reason", "o": null, "n": "short"},
        ]);
        let text = canonical(json!({"v": 1, "chg": changes})).unwrap();
        assert!(text.len() <= MAX_ENTRY);
        let kept: Value = serde_json::from_str(&text).unwrap();
        let digest = hash::hex(&hash::sha256(format!("\"{longer}\"").as_bytes()));
        assert_eq!(kept["chg"][1]["n"], json!({"sha256": digest}));
        assert_eq!(kept["chg"][1]["o"], json!(long), "one digest is enough");
        assert_eq!((&kept["chg"][0], &kept["chg"][2]), (&changes[0], &changes[2]));

        let many: Vec<_> =
            (0..100).map(|n| json!({"f": format!("/{n}"), "o": null, "n": "z".repeat(2_000)})).collect();
        let text = canonical(json!({"chg": many})).unwrap();
        assert!(text.len() <= MAX_ENTRY, "{}", text.len());
        // what cannot be shortened is kept whole rather than lost
        assert!(canonical(json!({"tgt": "t".repeat(40_000), "chg": []})).unwrap().len() > MAX_ENTRY);
    }
}
