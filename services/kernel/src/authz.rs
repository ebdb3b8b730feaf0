//! Authorization: the policy (casbin) and the permit that it yields.

mod permit;
mod policy;

pub use permit::Permit;
pub use policy::{Action, Class, Duty, DutySet, Policy, Question};
