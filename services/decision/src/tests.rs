//! The engine against a plain reading of the rules, against casbin, and against itself.

mod cases;
mod changes;
mod differential;
mod explained;
mod input;
mod oracle;
mod random;
mod reference;
