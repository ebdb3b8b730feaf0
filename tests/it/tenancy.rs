//! Partners, tenants and what a tenant is made of, end to end: every RPC, every documented error.

/// One call: `ask!(world.owner, role.get_role, GetRoleRequest { name: ROLE })`.
macro_rules! ask {
    ($by:expr, $noun:ident.$rpc:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let by: &tests::site::Caller = &$by;
        #[allow(clippy::needless_update, clippy::useless_conversion, reason = "one form for all requests")]
        let request = proto::$noun::v1::$request { $($field: $value.into(),)* ..Default::default() };
        crate::tenancy::client::$noun(by).$rpc(by.ask(request)).await.map(tonic::Response::into_inner)
    }};
}

pub use tenant::step;

mod every;
mod group;
mod history;
mod model;
mod partner;
mod principal;
mod role;
mod tenant;
mod unit;

use std::fmt::Debug;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::errors::reason;

/// How a call is refused: code and reason.
type Refusal = (Code, &'static str);

const INVALID: Refusal = (Code::InvalidArgument, "INVALID_FIELD");
const MISSING: Refusal = (Code::NotFound, "RESOURCE_NOT_FOUND");
const TAKEN: Refusal = (Code::AlreadyExists, "RESOURCE_EXISTS");
const REUSED: Refusal = (Code::AlreadyExists, "REQUEST_ID_REUSED");
const STALE: Refusal = (Code::Aborted, "ETAG_STALE");
const ILLEGAL: Refusal = (Code::FailedPrecondition, "ILLEGAL_STATE");
const IN_USE: Refusal = (Code::FailedPrecondition, "STILL_IN_USE");
const CYCLE: Refusal = (Code::FailedPrecondition, "CYCLE_OR_DEPTH");
const DENIED: Refusal = (Code::PermissionDenied, "DUTY_MISSING");
const SUSPENDED: Refusal = (Code::Unauthenticated, "PRINCIPAL_SUSPENDED");

/// A request id of the tests.
const ID: &str = "0197f0a0-0000-7000-8000-000000000002";

/// The call was refused like that; hands back the words.
#[track_caller]
fn refused<T: Debug>(answer: Result<T, Status>, how: Refusal) -> Status {
    let status = answer.expect_err("this call is refused");
    assert_eq!((status.code(), reason(&status).as_str()), how, "{}", status.message());
    status
}

/// The fields that a refusal complains about.
#[track_caller]
fn faults<T: Debug>(answer: Result<T, Status>) -> Vec<String> {
    let details = refused(answer, INVALID).get_error_details();
    details.bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect()
}

/// The last segments of names.
fn ids<'n>(names: impl IntoIterator<Item = &'n String>) -> Vec<String> {
    names.into_iter().map(|name| name.rsplit('/').next().unwrap().to_owned()).collect()
}

fn mask(paths: &[&str]) -> prost_types::FieldMask {
    prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() }
}

/// A client of each service.
mod client {
    use proto::{
        group::v1::group_service_client::GroupServiceClient,
        partner::v1::partner_service_client::PartnerServiceClient,
        principal::v1::principal_service_client::PrincipalServiceClient,
        role::v1::role_service_client::RoleServiceClient,
        tenant::v1::tenant_service_client::TenantServiceClient,
        unit::v1::unit_service_client::UnitServiceClient,
    };
    use tests::site::Caller;
    use tonic::transport::Channel;

    macro_rules! clients {
        ($($noun:ident: $client:ident;)*) => {$(
            pub fn $noun(by: &Caller) -> $client<Channel> {
                $client::new(by.channel.clone())
            }
        )*};
    }

    clients! {
        partner: PartnerServiceClient;
        tenant: TenantServiceClient;
        unit: UnitServiceClient;
        principal: PrincipalServiceClient;
        group: GroupServiceClient;
        role: RoleServiceClient;
    }
}
