//! What a person was called, and whether a saved search has it in it.

use std::collections::BTreeSet;

use serde_json::Value;
use tenancy::principal::model::{Principal, PrincipalKind};

use crate::event::{filter::Filter, model::Entry, words::words};

/// The words of a person's names and addresses, those of today and those of the record.
pub struct Names {
    /// Whether one word of a name is enough: programs are called by words that others use too.
    person: bool,
    /// The words of each value.
    values: BTreeSet<BTreeSet<String>>,
    /// The words of the names alone.
    parts: BTreeSet<String>,
}

impl Names {
    /// What the person is called today.
    pub fn of(principal: &Principal) -> Self {
        let person = principal.kind == PrincipalKind::User;
        let mut names = Self { person, values: BTreeSet::new(), parts: BTreeSet::new() };
        names.add(&principal.display_name, true);
        names.add(&principal.email, false);
        names
    }

    /// What an event, opened, says that the person is or was called; events about others say nothing.
    pub fn learn(&mut self, opened: &Value, principal: &str) {
        if Entry(opened).targets().next() != Some(principal) {
            return;
        }
        for change in opened.get("chg").and_then(Value::as_array).into_iter().flatten() {
            let field = change.get("f").and_then(Value::as_str).unwrap_or_default();
            if matches!(field, "/display_name" | "/email") && is_of_principal(opened) {
                for side in ["o", "n"].iter().filter_map(|side| change.get(side)?.as_str()) {
                    self.add(side, field == "/display_name");
                }
            }
        }
    }

    fn add(&mut self, value: &str, is_name: bool) {
        let found: BTreeSet<_> = words(value).collect();
        if found.is_empty() {
            return;
        }
        if is_name {
            self.parts.extend(found.iter().cloned());
        }
        self.values.insert(found);
    }

    /// Whether a saved search names the person: all words of a value in any order and case or, of people, one word of a name in
    /// what the search is called or among the words that it looks for.
    pub fn are_in(&self, display_name: &str, filter: &str) -> bool {
        let called: BTreeSet<_> = words(display_name).collect();
        let all: BTreeSet<_> = words(filter).chain(called.iter().cloned()).collect();
        if self.values.iter().any(|value| value.is_subset(&all)) {
            return true;
        }
        // a filter that no longer parses is taken for words as a whole
        let asked = Filter::parse(filter).map_or_else(|_| words(filter).collect(), |filter| filter.words());
        self.person && self.parts.iter().any(|part| called.contains(part) || asked.contains(part))
    }
}

/// Whether the event is of the principal itself, not of something that hangs on it.
fn is_of_principal(opened: &Value) -> bool {
    let act = Entry(opened).action();
    act.starts_with("principal.") || act.starts_with("bootstrap.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn maria(person: bool) -> Names {
        let mut names = Names { person, values: BTreeSet::new(), parts: BTreeSet::new() };
        names.add("Maria López", true);
        names.add("m.lopez@acme.example", false);
        names.learn(
            &json!({"act": "principal.update", "tgt": [{"id": "tenants/acme/principals/maria"}],
                "chg": [{"f": "/display_name", "o": "Maria Xiuh", "n": "Maria López"}, {"f": "/state", "o": "active", "n": "x"}]}),
            "tenants/acme/principals/maria",
        );
        names
    }

    #[test]
    fn a_search_names_a_person_by_all_words_in_any_order_and_case_or_by_one_of_a_name() {
        for (display_name, filter) in [
            ("Acts of MARIA LÓPEZ", ""),
            ("Acts", "text(\"lópez maria\")"),
            ("Acts", "text(\"XIUH\")"),
            ("Xiuh", ""),
            ("Acts", "outcome = denied AND maria"),
            ("Acts", "target = \"m.LOPEZ@acme.example\""),
            ("Acts", "not a filter ( maria"),
        ] {
            assert!(maria(true).are_in(display_name, filter), "{display_name} {filter}");
        }
        for (display_name, filter) in [
            ("Denials", "outcome = denied"),
            ("Denials", "text(\"mariana example\")"),
            ("Active", "state = active"),
            ("Her acts", "actor = \"tenants/acme/principals/maria\""),
        ] {
            assert!(!maria(true).are_in(display_name, filter), "{display_name} {filter}");
        }
        // a program's name is made of words that others use
        assert!(
            !maria(false).are_in("Maria", "text(\"acts\")") && maria(false).are_in("xiuh", "text(\"maria\")")
        );
    }

    #[test]
    fn only_events_about_the_person_tell_its_names() {
        let mut names = maria(true);
        let other = json!({"act": "principal.update", "tgt": [{"id": "tenants/acme/principals/eve"}],
            "chg": [{"f": "/display_name", "o": "Eve", "n": "Eva"}]});
        names.learn(&other, "tenants/acme/principals/maria");
        assert!(!names.are_in("Eve", ""));
    }
}
