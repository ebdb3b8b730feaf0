//! The filter of a question about usage: AIP-160 over `client`, `role`, `role_family`, `unit` and the dimensions of meters.

use kernel::{
    Error, Result,
    filter::{Comparator, Expr, parse},
};
use tenancy::role::model::RoleFamily;
use uuid::Uuid;

use crate::{meter::Meters, rollup::book::Series};

/// A filter whose fields are known to exist.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<Expr>);

/// Names of roles and units, as filters have them.
pub trait Names {
    /// Last segment of the role's name.
    fn role(&self, id: Uuid) -> &str;
    /// The family of the role.
    fn family(&self, id: Uuid) -> RoleFamily;
    /// Last segment of the unit's name.
    fn unit(&self, id: Uuid) -> &str;
}

impl Filter {
    /// Reads a filter. Errors: INVALID_FILTER for what is no filter, names an unknown field, or compares by order.
    pub fn parse(text: &str, meters: &Meters) -> Result<Self> {
        let expr = parse(text)?;
        expr.iter().try_for_each(|expr| check(expr, meters))?;
        Ok(Self(expr))
    }

    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it lets a series through.
    pub fn lets(&self, series: &Series, names: &impl Names) -> bool {
        self.0.as_ref().is_none_or(|expr| holds(expr, series, names))
    }
}

fn check(expr: &Expr, meters: &Meters) -> Result<()> {
    match expr {
        Expr::And(all) | Expr::Or(all) => all.iter().try_for_each(|expr| check(expr, meters)),
        Expr::Not(inner) => check(inner, meters),
        Expr::Compare { field, op, value, at, .. } => {
            let known = ["client", "role", "role_family", "unit"].contains(&field.as_str())
                || meters.all().iter().any(|m| m.has_dim(field));
            if !known {
                return Err(wrong(
                    *at,
                    format!(
                        "`{field}` is no field; use client, role, role_family, unit or a dimension of a meter"
                    ),
                ));
            }
            family_checked(field, value, *at)?;
            match op {
                Comparator::Equal | Comparator::NotEqual | Comparator::Has => Ok(()),
                _ => Err(wrong(*at, format!("`{field}` has no order; use `=`, `!=` or `:`"))),
            }
        }
        Expr::Call { at, .. } | Expr::Global { at, .. } => {
            Err(wrong(*at, "compare a field with a value, such as `client = codex`".to_owned()))
        }
    }
}

/// A family that there is not would let nothing through, and nobody would know why.
fn family_checked(field: &str, value: &str, at: usize) -> Result<()> {
    let known = field != "role_family" || RoleFamily::WORDS.contains(&value.to_ascii_lowercase().as_str());
    if known {
        return Ok(());
    }
    Err(wrong(at, format!("`{}` is none of `{}`", kernel::ids::clip(value), RoleFamily::WORDS.join("`, `"))))
}

fn wrong(position: usize, message: String) -> Error {
    Error::Filter { position, message }
}

fn holds(expr: &Expr, series: &Series, names: &impl Names) -> bool {
    match expr {
        Expr::And(all) => all.iter().all(|e| holds(e, series, names)),
        Expr::Or(any) => any.iter().any(|e| holds(e, series, names)),
        Expr::Not(inner) => !holds(inner, series, names),
        Expr::Compare { field, op, value, .. } => {
            let found = match field.as_str() {
                "client" => series.client.as_str(),
                "role" => series.role.map_or("", |id| names.role(id)),
                // in any case, as other lists have it
                "role_family" => {
                    let family = series.role.map(|id| names.family(id)).unwrap_or_default();
                    let same = family.as_str().eq_ignore_ascii_case(value);
                    return same != matches!(op, Comparator::NotEqual);
                }
                "unit" => series.unit.map_or("", |id| names.unit(id)),
                dim => series.dims.get(dim).map_or("", String::as_str),
            };
            is_met(*op, found, value)
        }
        // refused when it was read
        Expr::Call { .. } | Expr::Global { .. } => false,
    }
}

/// Whether a text is what a comparison asks for; there are none by order.
pub fn is_met(op: Comparator, found: &str, value: &str) -> bool {
    match op {
        Comparator::NotEqual => !equal(found, value),
        Comparator::Has => value == "*" && !found.is_empty() || found.contains(value),
        _ => equal(found, value),
    }
}

/// Equal, or, with a `*` at an end, beginning or ending so.
fn equal(found: &str, value: &str) -> bool {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(end), _) => found.ends_with(end),
        (_, Some(start)) => found.starts_with(start),
        _ => found == value,
    }
}
