//! What plugin groups can be asked for: as every set ([`crate::set`]), and about what is in one, which is in `member`.

use kernel::{
    authz::{Action, Class},
    scope::ScopeKind,
};

use super::member;
use crate::set::model::Verbs;

pub(super) const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "plugin_group", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action =
    action("provost.plugin_group.v1.PluginGroupService/CreatePluginGroup", "create", Class::Write);
const GET: Action = action("provost.plugin_group.v1.PluginGroupService/GetPluginGroup", "get", Class::Read);
const LIST: Action =
    action("provost.plugin_group.v1.PluginGroupService/ListPluginGroups", "list", Class::Read);
const UPDATE: Action =
    action("provost.plugin_group.v1.PluginGroupService/UpdatePluginGroup", "update", Class::Write);
const DELETE: Action =
    action("provost.plugin_group.v1.PluginGroupService/DeletePluginGroup", "delete", Class::Write);
const UNDELETE: Action =
    action("provost.plugin_group.v1.PluginGroupService/UndeletePluginGroup", "undelete", Class::Write);
/// What every kind of set can be asked for.
pub(super) const VERBS: Verbs =
    Verbs { create: CREATE, get: GET, list: LIST, update: UPDATE, delete: DELETE, undelete: UNDELETE };
/// What plugin groups can be asked for.
pub const ACTIONS: &[Action] =
    &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, member::ADD, member::REMOVE, member::LIST];
