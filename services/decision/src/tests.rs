//! The engine against a plain reading of the rules, against casbin, and against itself.

mod cases;
mod changes;
mod compared;
mod differential;
mod explained;
mod files;
mod input;
mod oracle;
mod random;
mod reference;
