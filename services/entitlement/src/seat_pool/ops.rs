//! What seat pools can be asked for: as every set ([`crate::set`]), and about what is in one, which is in `holder`.

use kernel::{
    authz::{Action, Class},
    scope::ScopeKind,
};

use super::holder;
use crate::set::model::Verbs;

pub(super) const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "seat_pool", verb, class, scopes: &[ScopeKind::Tenant] }
}
const CREATE: Action = action("provost.seat_pool.v1.SeatPoolService/CreateSeatPool", "create", Class::Write);
const GET: Action = action("provost.seat_pool.v1.SeatPoolService/GetSeatPool", "get", Class::Read);
const LIST: Action = action("provost.seat_pool.v1.SeatPoolService/ListSeatPools", "list", Class::Read);
const UPDATE: Action = action("provost.seat_pool.v1.SeatPoolService/UpdateSeatPool", "update", Class::Write);
const DELETE: Action = action("provost.seat_pool.v1.SeatPoolService/DeleteSeatPool", "delete", Class::Write);
const UNDELETE: Action =
    action("provost.seat_pool.v1.SeatPoolService/UndeleteSeatPool", "undelete", Class::Write);
/// What every kind of set can be asked for.
pub(super) const VERBS: Verbs =
    Verbs { create: CREATE, get: GET, list: LIST, update: UPDATE, delete: DELETE, undelete: UNDELETE };
/// What seat pools can be asked for.
pub const ACTIONS: &[Action] =
    &[CREATE, GET, LIST, UPDATE, DELETE, UNDELETE, holder::ADD, holder::REMOVE, holder::LIST];
