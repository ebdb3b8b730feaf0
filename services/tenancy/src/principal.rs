//! Users, services and agents: of the platform, of partners and of tenants.

pub mod model;
pub mod name;
pub mod ops;
pub mod rpc;
pub mod store;
