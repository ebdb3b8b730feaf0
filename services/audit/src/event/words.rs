//! The words of an event, and of a search for words.

use std::collections::BTreeSet;

use kernel::audit::sealed::ERASED;
use serde_json::Value;
use uuid::Uuid;

use super::model::{Entry, seal_of};

/// Most words of one event that can be searched for; those of its actor and targets come first.
const MAX_WORDS: usize = 128;
/// Characters of a word that count.
const MAX_CHARS: usize = 64;

/// The words of a text: runs of letters and digits, at least two, in lower case; a UUID is one word.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '-');
    let is_id = |part: &str| part.len() == 36 && Uuid::try_parse(part).is_ok();
    let parts = parts.flat_map(move |part| if is_id(part) { vec![part] } else { part.split('-').collect() });
    let word = |part: &str| part.chars().flat_map(char::to_lowercase).take(MAX_CHARS).collect::<String>();
    parts.map(word).filter(|word| word.chars().nth(1).is_some())
}

/// The words of an opened event: of its actor, its targets, and its changed values.
pub fn words_of(entry: Entry<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |text: &str| {
        for word in words(text) {
            if found.len() < MAX_WORDS {
                found.insert(word);
            }
        }
    };
    add(entry.actor());
    entry.targets().for_each(&mut add);
    entry.values().for_each(|value| leaves(value, &mut add));
    found
}

/// Texts and numbers under a changed value. Times are left out: they have a filter of their own.
fn leaves(value: &Value, add: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) if text == ERASED || is_time(text) => {}
        Value::String(text) => add(text),
        Value::Number(number) => add(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|v| leaves(v, add)),
        Value::Object(_) if seal_of(value).is_some() => {}
        Value::Object(fields) => fields.values().for_each(|v| leaves(v, add)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Whether a text has the form in which the record writes times: `2026-11-05T10:30:00.000000Z`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let form = |(i, b): (usize, &u8)| match i {
        4 | 7 => *b == b'-',
        10 => *b == b'T',
        13 | 16 => *b == b':',
        19 => *b == b'.',
        26 => *b == b'Z',
        _ => b.is_ascii_digit(),
    };
    bytes.len() == 27 && bytes.iter().enumerate().all(form)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        let found: Vec<_> = words("Maria López-Ñuñez, tenants/acme/roles/t-7 x 42 ÄB").collect();
        assert_eq!(found, ["maria", "lópez", "ñuñez", "tenants", "acme", "roles", "42", "äb"]);
        let id = "0197C0DE-0000-7000-8000-000000000001";
        assert_eq!(words(&format!("roles/{id}")).collect::<Vec<_>>(), ["roles", &id.to_lowercase()]);
        assert_eq!(words(&"a".repeat(99)).next().map(|w| w.len()), Some(MAX_CHARS));
        assert_eq!(words(" - / é ").count(), 0);
    }

    #[test]
    fn an_event_has_the_words_of_its_names_and_values_but_no_times_seals_and_markers() {
        let entry = json!({
            "actor": {"p": "tenants/acme/principals/maria"}, "tgt": [{"id": "tenants/acme/roles/banker"}],
            "ip": "10.0.0.1", "ua": "agent", "q": "question",
            "chg": [
                {"f": "/display_name", "o": null, "n": "Investment Banker"},
                {"f": "/time", "n": "2026-11-05T10:30:00.000000Z"},
                {"f": "/deep", "n": {"seats": [250, true, ERASED]}},
                {"f": "/email", "n": {"$s": "c2VjcmV0", "k": format!("{}.{}", Uuid::nil(), Uuid::nil())}},
            ],
        });
        let found = words_of(Entry(&entry)).into_iter().collect::<Vec<_>>();
        let expected = ["250", "acme", "banker", "investment", "maria", "principals", "roles", "tenants"];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_words_of_one_event_are_limited() {
        let text = (0..500).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
        let entry = json!({"actor": {"p": "maria"}, "chg": [{"n": text}]});
        let found = words_of(Entry(&entry));
        assert_eq!(found.len(), MAX_WORDS);
        assert!(found.contains("maria") && found.contains("word0") && !found.contains("word499"));
    }
}
