//! Partners, tenants and what a tenant is made of: units, principals, groups and roles.
//!
//! One folder a noun, the same four files in each: `model` (pure), `store` (SQL), `ops` (use cases), `rpc` (wire).

pub mod role;
