//! Rows of tables as the record knows them.

use kernel::hash;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::entry::Entry;

/// A table: its columns that the record tells of, under the names that they have in both.
#[derive(Debug)]
pub struct Spec {
    /// Name of the table.
    pub table: &'static str,
    /// The columns.
    pub columns: &'static [&'static str],
    /// Those of them that hold a person's data.
    pub personal: &'static [&'static str],
    /// Further fields of the record that are kept; no columns.
    pub beside: &'static [&'static str],
    /// Columns that came to be after rows were kept: rows are kept by position, so what is new comes last.
    pub later: &'static [&'static str],
}

/// Clients. The contract is not compared: the record may keep a digest of it.
pub const TENANT: Spec = Spec {
    table: "tenant",
    columns: &["slug", "display_name", "state", "revision", "create_time", "update_time", "delete_time"],
    personal: &[],
    beside: &[],
    later: &["erase_time", "erasure"],
};
/// Principals.
pub const PRINCIPAL: Spec = Spec {
    table: "principal",
    columns: &[
        "id",
        "scope_kind",
        "slug",
        "kind",
        "display_name",
        "email",
        "unit_id",
        "owner_id",
        "state",
        "revision",
        "create_time",
        "update_time",
        "delete_time",
    ],
    personal: &["display_name", "email"],
    beside: &["owner_slug"],
    later: &[],
};
/// Groups.
pub const GROUP: Spec = Spec {
    table: "principal_group",
    columns: &[
        "id",
        "slug",
        "display_name",
        "external_id",
        "revision",
        "create_time",
        "update_time",
        "delete_time",
    ],
    personal: &[],
    beside: &[],
    later: &[],
};
/// Roles.
pub const ROLE: Spec = Spec {
    table: "role",
    columns: &[
        "id",
        "slug",
        "display_name",
        "description",
        "revision",
        "create_time",
        "update_time",
        "delete_time",
    ],
    personal: &[],
    beside: &[],
    later: &["family"],
};
/// Who is in a group.
pub const GROUP_MEMBER: Spec = Spec {
    table: "group_member",
    columns: &["id", "principal_id", "create_time"],
    personal: &[],
    beside: &["group", "principal_slug"],
    later: &[],
};
/// Who holds a role.
pub const ROLE_MEMBER: Spec = Spec {
    table: "role_member",
    columns: &["id", "kind", "member_id", "create_time"],
    personal: &[],
    beside: &["role", "slug"],
    later: &[],
};
/// Rules.
pub const ENTITLEMENT: Spec = Spec {
    table: "entitlement",
    columns: &[
        "id",
        "slug",
        "role_id",
        "marketplace_id",
        "plugin_id",
        "target",
        "effect",
        "max_stage",
        "not_before",
        "not_after",
        "reason",
        "revision",
        "create_time",
    ],
    personal: &["reason"],
    beside: &["role_slug"],
    later: &["floor", "app", "skill", "plugin_group_id", "seat_pool_id", "update_time"],
};
/// Plugin groups.
pub const PLUGIN_GROUP: Spec = Spec {
    table: "plugin_group",
    columns: &[
        "id",
        "slug",
        "display_name",
        "description",
        "revision",
        "create_time",
        "update_time",
        "delete_time",
    ],
    personal: &[],
    beside: &[],
    later: &[],
};
/// What is in a plugin group.
pub const PLUGIN_GROUP_MEMBER: Spec = Spec {
    table: "plugin_group_member",
    columns: &["id", "marketplace_id", "plugin_id", "create_time"],
    personal: &[],
    beside: &["plugin_group", "marketplace_slug", "plugin_slug"],
    later: &[],
};
/// Seat pools.
pub const SEAT_POOL: Spec = Spec {
    table: "seat_pool",
    columns: &[
        "id",
        "slug",
        "display_name",
        "description",
        "revision",
        "create_time",
        "update_time",
        "delete_time",
    ],
    personal: &[],
    beside: &[],
    later: &[],
};
/// Who holds a seat.
pub const SEAT_HOLDER: Spec = Spec {
    table: "seat_holder",
    columns: &["id", "principal_id", "create_time"],
    personal: &[],
    beside: &["seat_pool", "principal_slug"],
    later: &[],
};
/// Connectors of the client's own.
pub const CONNECTOR_BINDING: Spec = Spec {
    table: "connector_binding",
    columns: &[
        "id",
        "slug",
        "marketplace_id",
        "plugin_id",
        "plugin",
        "app",
        "connector_id",
        "revision",
        "create_time",
        "update_time",
    ],
    personal: &[],
    beside: &[],
    later: &[],
};
/// Stages that a tenant holds plugins to.
pub const STAGE_OVERRIDE: Spec = Spec {
    table: "stage_override",
    columns: &[
        "id",
        "slug",
        "marketplace_id",
        "plugin_id",
        "plugin",
        "stage",
        "reason",
        "revision",
        "create_time",
        "update_time",
    ],
    personal: &["reason"],
    beside: &[],
    later: &[],
};
/// Who administers what.
pub const DUTY: Spec = Spec {
    table: "duty_grant",
    columns: &["id", "scope_kind", "principal_id", "duty", "create_time"],
    personal: &[],
    beside: &[],
    later: &[],
};

impl Spec {
    /// Where a field of the record is kept in a row.
    pub fn place(&self, field: &str) -> Option<usize> {
        self.columns.iter().chain(self.beside).chain(self.later).position(|c| *c == field)
    }

    /// All columns that the record tells of.
    pub fn compared(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().chain(self.later).copied()
    }

    fn width(&self) -> usize {
        self.columns.len() + self.beside.len() + self.later.len()
    }
}

/// One row: values in the order of its table's columns. A person's data stays sealed as it was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(Vec<Value>);

/// Changed places of a row and what they hold now.
pub type Cells = Vec<(usize, Value)>;

impl Row {
    /// A row of nothing.
    pub fn new(spec: &Spec) -> Self {
        Self(vec![Value::Null; spec.width()])
    }

    /// The row that an event begins or, with `ended`, ends.
    pub fn of(spec: &Spec, entry: &Entry, ended: bool) -> Self {
        let mut row = Self::new(spec);
        row.set(cells(spec, entry, ended));
        row
    }

    /// Takes new values in.
    pub fn set(&mut self, cells: Cells) {
        for (place, value) in cells {
            // a row that was kept before there were so many columns
            if place >= self.0.len() {
                self.0.resize(place + 1, Value::Null);
            }
            if let Some(cell) = self.0.get_mut(place) {
                *cell = value;
            }
        }
    }

    /// Sets one field.
    pub fn put(&mut self, spec: &Spec, field: &str, value: Value) {
        self.set(spec.place(field).map(|place| (place, value)).into_iter().collect());
    }

    /// A value.
    pub fn get(&self, spec: &Spec, field: &str) -> &Value {
        spec.place(field).and_then(|place| self.0.get(place)).unwrap_or(&Value::Null)
    }

    /// A value that is text, or nothing.
    pub fn text(&self, spec: &Spec, field: &str) -> &str {
        self.get(spec, field).as_str().unwrap_or_default()
    }

    /// A value that is an identity.
    pub fn uuid(&self, spec: &Spec, field: &str) -> Option<Uuid> {
        self.text(spec, field).parse().ok()
    }
}

/// What an event says of a row of the table: the new values or, of a row that `ended`, the old ones.
pub fn cells(spec: &Spec, entry: &Entry, ended: bool) -> Cells {
    let side = if ended { "o" } else { "n" };
    let changes = entry.chg.iter().enumerate().filter_map(|(i, change)| {
        let place = spec.place(change.f.strip_prefix('/')?)?;
        let value = if ended { &change.o } else { &change.n };
        Some((place, sealed_at(value, entry.id, &format!("/chg/{i}/{side}"))))
    });
    changes.collect()
}

/// A sealed value opens only where it was sealed: it is kept with that place.
fn sealed_at(value: &Value, event: Uuid, pointer: &str) -> Value {
    match value.as_object() {
        Some(object) if object.len() == 2 && object.contains_key("$s") => {
            let mut kept = object.clone();
            kept.insert("e".to_owned(), json!(event));
            kept.insert("p".to_owned(), json!(pointer));
            Value::Object(kept)
        }
        _ => value.clone(),
    }
}

/// An entry that holds nothing but a sealed value of a row in its place, for opening, and that place.
pub fn reopened(value: &Value) -> Option<(Value, String)> {
    let (event, pointer) = (value.get("e")?, value.get("p")?.as_str()?.to_owned());
    let mut segments = pointer.strip_prefix("/chg/")?.split('/');
    let (position, side): (usize, &str) = (segments.next()?.parse().ok()?, segments.next()?);
    let mut changes = vec![Value::Null; position];
    changes.push(json!({side: {"$s": value.get("$s")?, "k": value.get("k")?}}));
    Some((json!({"id": event, "chg": changes}), pointer))
}

/// Whether a column's value is the recorded one, which may be there as a digest only.
pub fn same(live: &Value, recorded: &Value) -> bool {
    if live == recorded {
        return true;
    }
    let digest = recorded.as_object().filter(|o| o.len() == 1);
    match digest.and_then(|o| o.get("sha256")).and_then(Value::as_str) {
        Some(digest) => hash::hex(&hash::sha256(live.to_string().as_bytes())) == digest,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(chg: &Value) -> Entry {
        let id = Uuid::from_u128(9);
        let text = json!({"id": id, "t": "2026-11-23T12:00:00Z", "log": "tenants/acme", "act": "role.update", "out": "ok",
            "tgt": [{"k": "role", "id": "tenants/acme/roles/banker"}], "chg": chg});
        Entry::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn a_row_takes_what_the_record_says_of_its_columns() {
        let made = entry(&json!([
            {"f": "/slug", "o": null, "n": "banker"}, {"f": "/included", "o": null, "n": ""}, {"f": "/revision", "o": null, "n": 1}
        ]));
        let mut row = Row::of(&ROLE, &made, false);
        assert_eq!((row.text(&ROLE, "slug"), row.get(&ROLE, "revision")), ("banker", &json!(1)));
        row.set(cells(&ROLE, &entry(&json!([{"f": "/revision", "o": 1, "n": 2}])), false));
        assert_eq!((row.text(&ROLE, "slug"), row.get(&ROLE, "revision")), ("banker", &json!(2)));
        let ended = entry(&json!([{"f": "/slug", "o": "banker", "n": null}]));
        assert_eq!(Row::of(&ROLE, &ended, true).text(&ROLE, "slug"), "banker");
    }

    #[test]
    fn a_sealed_value_is_kept_with_the_place_where_it_opens() {
        let sealed = json!({"$s": "AAAA", "k": "x.y"});
        let made = entry(&json!([{"f": "/revision", "o": 1, "n": 2}, {"f": "/email", "o": "", "n": sealed}]));
        let row = Row::of(&PRINCIPAL, &made, false);
        let (again, pointer) = reopened(row.get(&PRINCIPAL, "email")).unwrap();
        assert_eq!(pointer, "/chg/1/n");
        assert_eq!(again["id"], json!(made.id));
        assert_eq!(again.pointer(&pointer), Some(&sealed));
        assert!(reopened(row.get(&PRINCIPAL, "revision")).is_none());
    }

    #[test]
    fn a_digest_stands_for_its_value_and_no_other() {
        let long = json!("x".repeat(100));
        let digest = json!({"sha256": hash::hex(&hash::sha256(long.to_string().as_bytes()))});
        assert!(same(&long, &digest) && same(&json!(1), &json!(1)));
        assert!(!same(&json!("y"), &digest) && !same(&json!(null), &json!("")));
    }
}
