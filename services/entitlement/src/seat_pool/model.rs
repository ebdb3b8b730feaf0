//! What a seat pool is, without any I/O.

use kernel::{
    clock::Time,
    db::list::ListSpec,
    filter::Field,
    ids::{PrincipalId, Slug},
    uuid_id,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ops::VERBS;
use crate::set::{
    model::{self as set, Kind, Set, Verbs},
    store::{fields, list_spec},
};

uuid_id! {
    /// Identity of a seat pool.
    SeatPoolId;
}

/// The kind of set that seat pools are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatPools;

/// A pool of seats.
pub type SeatPool = Set<SeatPools>;

const FIELDS: [Field; 5] = fields("seat_pool_id");

impl Kind for SeatPools {
    const NOUN: &'static str = "seat_pool";
    const WORDS: &'static str = "seat pool";
    const COLLECTION: &'static str = "seatPools";
    const LIST: ListSpec = list_spec("seat pools", "seat_pool g", &FIELDS);
    const VERBS: Verbs = VERBS;
}

/// The name of a tenant's seat pool.
pub fn name(tenant: &Slug, slug: &str) -> String {
    set::name::<SeatPools>(tenant, slug)
}

/// One principal with a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct SeatHolder {
    /// Identity of the holding: one that ends and begins again is another.
    pub id: Uuid,
    /// Whose, by id in names.
    pub tenant_slug: Slug,
    /// The principal.
    pub principal_id: PrincipalId,
    /// The principal, by id in names.
    pub principal_slug: Slug,
    /// Since when.
    pub create_time: Time,
}

impl SeatHolder {
    /// Name of the principal.
    pub fn holder(&self) -> String {
        format!("tenants/{}/principals/{}", self.tenant_slug, self.principal_slug)
    }
}
