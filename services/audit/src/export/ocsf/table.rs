//! Which OCSF class and activity an action is.
//!
//! None of ours is Authentication (3002) or Authorize Session (3003): there are no sessions. A token stands for its holder in
//! every call. A call without a good token is counted, by its status, and not recorded: anybody can make such calls, and a record
//! of each would let anybody fill the logs. What makes or ends a credential is a change of the thing that it is (`token.*`: Entity Management), the
//! first administrator's is an account (`bootstrap.bootstrap`: Account Change), and an act that was refused for lack of a duty
//! is the call that it was, with `status_id` 2.

/// An OCSF 1.8.0 class that our acts are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 6003: any call.
    ApiActivity,
    /// 3001: an account of a person, service or agent.
    AccountChange,
    /// 3004: any other thing that is administered.
    EntityManagement,
    /// 3005: rights of one principal.
    UserAccess,
    /// 3006: groups, their members and their rights.
    GroupManagement,
}

impl Class {
    /// `class_uid`; its thousands are the category.
    pub fn uid(self) -> i64 {
        match self {
            Self::ApiActivity => 6003,
            Self::AccountChange => 3001,
            Self::EntityManagement => 3004,
            Self::UserAccess => 3005,
            Self::GroupManagement => 3006,
        }
    }

    /// `class_name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiActivity => "API Activity",
            Self::AccountChange => "Account Change",
            Self::EntityManagement => "Entity Management",
            Self::UserAccess => "User Access Management",
            Self::GroupManagement => "Group Management",
        }
    }
}

/// A class and an activity of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The class.
    pub class: Class,
    /// `activity_id`.
    pub activity: u8,
    /// `activity_name`.
    pub activity_name: &'static str,
}

/// `activity_id` of rights that are given, in [`Class::UserAccess`] and [`Class::GroupManagement`].
pub const GRANT: u8 = 1;
/// `activity_id` of rights that are taken, in the same.
pub const REVOKE: u8 = 2;
/// `activity_id` of a new member, in [`Class::GroupManagement`].
pub const ADD_USER: u8 = 3;
/// `activity_id` of a member who leaves, in the same.
pub const REMOVE_USER: u8 = 4;

const fn account(activity: u8, activity_name: &'static str) -> Mapping {
    Mapping { class: Class::AccountChange, activity, activity_name }
}
const fn entity_act(activity: u8, activity_name: &'static str) -> Mapping {
    Mapping { class: Class::EntityManagement, activity, activity_name }
}
const fn access(activity: u8, activity_name: &'static str) -> Mapping {
    Mapping { class: Class::UserAccess, activity, activity_name }
}
const fn group(activity: u8, activity_name: &'static str) -> Mapping {
    Mapping { class: Class::GroupManagement, activity, activity_name }
}

/// What has a class of its own. Of several rows of one action the first counts whose fields its record has.
const SPECIFIC: [(&str, Mapping); 16] = [
    ("bootstrap.bootstrap", account(1, "Create")),
    ("principal.create", account(1, "Create")),
    ("principal.undelete", account(2, "Enable")),
    ("principal.resume", account(2, "Enable")),
    ("principal.suspend", account(5, "Disable")),
    ("principal.delete", account(6, "Delete")),
    ("duty.grant", access(GRANT, "Assign Privileges")),
    ("duty.revoke", access(REVOKE, "Revoke Privileges")),
    ("role.add_member", access(GRANT, "Assign Privileges")),
    ("role.add_member", group(GRANT, "Assign Privileges")),
    ("role.remove_member", access(REVOKE, "Revoke Privileges")),
    ("role.remove_member", group(REVOKE, "Revoke Privileges")),
    ("group.create", group(6, "Create")),
    ("group.delete", group(5, "Delete")),
    ("group.add_member", group(ADD_USER, "Add User")),
    ("group.remove_member", group(REMOVE_USER, "Remove User")),
];

/// Nouns whose other changes are Entity Management.
const ENTITIES: [&str; 20] = [
    "partner",
    "tenant",
    "unit",
    "principal",
    "group",
    "role",
    "entitlement",
    "connector_binding",
    "stage_override",
    "plugin_group",
    "seat_pool",
    "marketplace",
    "plugin",
    "plugin_version",
    "token",
    "legal_hold",
    "retention",
    "saved_search",
    "mirror_link",
    "meter",
];

/// First words of verbs that bring something into being.
const CREATING: [&str; 7] = ["create", "add", "import", "grant", "bootstrap", "logs", "seed"];
/// First words of verbs that end something.
const ENDING: [&str; 10] =
    ["archive", "delete", "remove", "revoke", "release", "exclude", "close", "erase", "erased", "prune"];
/// First words of verbs that only look.
const READING: [&str; 11] =
    ["get", "list", "diff", "query", "search", "tail", "export", "read", "check", "prove", "whoami"];

/// The mappings of an action of an event class beside [`call`], in order of preference.
pub fn mappings<'a>(action: &'a str, event_class: &str) -> impl Iterator<Item = Mapping> + 'a {
    let (noun, verb) = action.split_once('.').unwrap_or((action, ""));
    let specific = SPECIFIC.iter().filter(move |(name, _)| *name == action).map(|(_, mapping)| *mapping);
    let changes = !is_read(event_class) && ENTITIES.contains(&noun);
    let entity = changes.then(|| entity_change(verb));
    specific.chain(entity)
}

fn entity_change(verb: &str) -> Mapping {
    match verb {
        "create" => entity_act(1, "Create"),
        "delete" => entity_act(4, "Delete"),
        "undelete" => entity_act(8, "Enable"),
        "start_pilot" | "go_live" => entity_act(10, "Activate"),
        "close" | "revoke" | "release" => entity_act(11, "Deactivate"),
        "suspend" => entity_act(12, "Suspend"),
        "resume" => entity_act(13, "Resume"),
        _ => entity_act(3, "Update"),
    }
}

/// API Activity: what every act is.
pub fn call(action: &str, event_class: &str) -> Mapping {
    let (_, verb) = action.split_once('.').unwrap_or((action, ""));
    let first = verb.split('_').next().unwrap_or_default();
    let (activity, activity_name) = if is_read(event_class) || READING.contains(&first) {
        (2, "Read")
    } else if CREATING.contains(&first) {
        (1, "Create")
    } else if ENDING.contains(&first) {
        (4, "Delete")
    } else if event_class == "system" {
        (99, "Other")
    } else {
        (3, "Update")
    };
    Mapping { class: Class::ApiActivity, activity, activity_name }
}

fn is_read(event_class: &str) -> bool {
    matches!(event_class, "admin_read" | "audit_read" | "decision")
}

/// `type_id` and `type` of a managed entity by the kind of the target.
pub fn entity(kind: &str) -> (u8, &str) {
    match kind {
        "principal" => (2, "User"),
        "group" => (3, "Group"),
        "partner" | "tenant" | "unit" => (4, "Organization"),
        "entitlement" | "stage_override" | "retention" | "legal_hold" => (5, "Policy"),
        other => (99, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(action: &str, event_class: &str) -> (i64, u8) {
        let mapping = mappings(action, event_class).next().unwrap_or_else(|| call(action, event_class));
        (mapping.class.uid(), mapping.activity)
    }

    #[test]
    fn an_action_is_what_a_siem_takes_it_for() {
        let expected = [
            ("principal.create", (3001, 1)),
            ("principal.update", (3004, 3)),
            ("principal.suspend", (3001, 5)),
            ("duty.grant", (3005, 1)),
            ("duty.revoke", (3005, 2)),
            ("group.create", (3006, 6)),
            ("group.undelete", (3004, 8)),
            ("group.add_member", (3006, 3)),
            ("tenant.go_live", (3004, 10)),
            ("plugin.set_stage", (3004, 3)),
            ("plugin_version.set_stage", (3004, 3)),
            ("token.revoke", (3004, 11)),
        ];
        for (action, mapping) in expected {
            assert_eq!(first(action, "admin_write"), mapping, "{action}");
        }
        assert_eq!(first("role.get", "admin_read"), (6003, 2));
        assert_eq!(first("audit.export", "audit_read"), (6003, 2));
        assert_eq!(first("decision.check", "decision"), (6003, 2));
        assert_eq!(first("decision.log", "decision"), (6003, 2));
        assert_eq!(first("usage.logs", "system"), (6003, 1));
    }

    #[test]
    fn an_unknown_noun_is_a_call_of_its_kind() {
        let expected = [
            ("rocket.create", 1),
            ("rocket.add_stage", 1),
            ("rocket.list_stages", 2),
            ("rocket.launch", 3),
            ("rocket.remove_stage", 4),
        ];
        for (action, activity) in expected {
            assert_eq!(first(action, "admin_write"), (6003, activity), "{action}");
        }
        assert_eq!(first("audit.divergence", "system"), (6003, 99));
        assert_eq!(first("rocket.inspect", "admin_read"), (6003, 2));
        assert_eq!(first("", ""), (6003, 3));
    }
}
