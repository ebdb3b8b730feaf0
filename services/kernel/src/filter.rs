//! AIP-160 filters: text -> tree ([`mod@parse`]) -> parameterised SQL ([`sql`]).
//!
//! `OR` binds tighter than `AND`; two restrictions side by side mean `AND`; `NOT` and `-` negate one term. Functions are
//! parsed; what they mean is for who compiles the tree, and SQL lists know none.

pub mod parse;
pub mod sql;

pub use parse::{Arg, Comparator, Expr, parse};
pub use sql::{Field, Kind, Sql, Value};

/// Longest filter, bytes.
pub const MAX_BYTES: usize = 2_048;
/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 32;
