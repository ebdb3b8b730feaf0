//! Who may use which plugin and does not: a list that is worked out, filtered, ordered and paged in memory.

use kernel::{
    Error, Result,
    clock::Time,
    db::list::{ListQuery, Page},
    filter::{Comparator, Expr, parse},
    hash,
    ids::clip,
    page::{self, Cursor, PageKey},
};
use uuid::Uuid;

use super::activation::Activation;
use crate::{query::filter::is_met, rollup::fold::DAY};

/// Somebody who may use a plugin and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dormant {
    /// Last segment of the principal's name.
    pub principal: String,
    /// Full name of the plugin.
    pub plugin: String,
    /// When an assistant first told of it.
    pub installed: Option<Time>,
    /// The day of the last use.
    pub last_use: Option<Time>,
}

/// What the list is ordered by; the other breaks ties.
#[derive(Clone, Copy, Debug)]
struct Order {
    by_principal: bool,
    descending: bool,
}

impl Order {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let message = format!(
                "`{}` is not an order; use one of `plugin`, `principal`, with or without ` desc`",
                clip(text)
            );
            Error::invalid("order_by", message)
        };
        let mut words = text.split_whitespace();
        let by_principal = match words.next() {
            None | Some("plugin") => false,
            Some("principal") => true,
            Some(_) => return Err(wrong()),
        };
        match (words.next(), words.next()) {
            (None | Some("asc"), None) => Ok(Self { by_principal, descending: false }),
            (Some("desc"), None) => Ok(Self { by_principal, descending: true }),
            _ => Err(wrong()),
        }
    }

    fn key(self, row: &(&str, &str)) -> (String, String) {
        let (plugin, principal) = (row.0.to_owned(), row.1.to_owned());
        if self.by_principal { (principal, plugin) } else { (plugin, principal) }
    }
}

/// Checks filter and order; what is asked is the whole of it, without the page.
pub struct Asked {
    filter: Option<Expr>,
    order: Order,
    question: String,
}

impl Asked {
    /// Reads them. Errors: `INVALID_FILTER`, `INVALID_FIELD`.
    pub fn parse(parent: &str, query: &ListQuery) -> Result<Self> {
        let filter = parse(&query.filter)?;
        filter.iter().try_for_each(check)?;
        let parts = format!("dormant|{parent}|{}|{}", query.filter, query.order_by);
        Ok(Self {
            filter,
            order: Order::parse(&query.order_by)?,
            question: hash::short_hex(parts.as_bytes()),
        })
    }

    /// A page of it.
    pub fn page(&self, activation: &Activation, query: &ListQuery, key: &PageKey) -> Result<Page<Dormant>> {
        let size = usize::try_from(page::size(query.page_size)?).unwrap_or(usize::MAX);
        let after = match query.page_token.as_str() {
            "" => None,
            token => Some(key.open(&self.question, token)?.text),
        };
        let mut rows = self.rows(activation);
        rows.sort_by_cached_key(|row| self.order.key(&(&row.plugin, &row.principal)));
        if self.order.descending {
            rows.reverse();
        }
        let place = |row: &Dormant| format!("{}\n{}", row.plugin, row.principal);
        // what was the last one may have been used meanwhile: the place is where it would be
        let start = match after {
            None => 0,
            Some(text) => {
                let last = text.split_once('\n').unwrap_or((&text, ""));
                let last = self.order.key(&last);
                rows.partition_point(|row| {
                    let own = self.order.key(&(&row.plugin, &row.principal));
                    if self.order.descending { own >= last } else { own <= last }
                })
            }
        };
        let rest = rows.split_off(start);
        let more = rest.len() > size;
        let items: Vec<_> = rest.into_iter().take(size).collect();
        let next_page_token = match items.last().filter(|_| more) {
            Some(last) => key.seal(&self.question, Cursor { text: place(last), int: 0, id: Uuid::nil() })?,
            None => String::new(),
        };
        Ok(Page { items, next_page_token })
    }

    fn rows(&self, activation: &Activation) -> Vec<Dormant> {
        let mut rows = Vec::new();
        for plugin in &activation.plugins {
            for who in plugin.dormant(activation.today) {
                let person = usize::try_from(who).ok().and_then(|at| activation.people.get(at));
                let Some(person) = person else { continue };
                if self.filter.as_ref().is_none_or(|expr| holds(expr, &plugin.name, &person.slug)) {
                    rows.push(Dormant {
                        principal: person.slug.clone(),
                        plugin: plugin.name.clone(),
                        installed: plugin.seen.get(&who).copied(),
                        last_use: plugin.last_use(who).map(|day| Time::from_micros(day * DAY)),
                    });
                }
            }
        }
        rows
    }
}

fn check(expr: &Expr) -> Result<()> {
    let wrong = |position, message| Err(Error::Filter { position, message });
    match expr {
        Expr::And(all) | Expr::Or(all) => all.iter().try_for_each(check),
        Expr::Not(inner) => check(inner),
        Expr::Compare { field, op, at, .. } => match (field.as_str(), op) {
            ("principal" | "plugin", Comparator::Equal | Comparator::NotEqual | Comparator::Has) => Ok(()),
            ("principal" | "plugin", _) => {
                wrong(*at, format!("`{field}` has no order; use `=`, `!=` or `:`"))
            }
            _ => wrong(*at, format!("`{}` is no field; use principal or plugin", clip(field))),
        },
        Expr::Call { at, .. } | Expr::Global { at, .. } => {
            wrong(*at, "compare a field with a value, such as `principal = maria`".to_owned())
        }
    }
}

fn holds(expr: &Expr, plugin: &str, principal: &str) -> bool {
    match expr {
        Expr::And(all) => all.iter().all(|e| holds(e, plugin, principal)),
        Expr::Or(any) => any.iter().any(|e| holds(e, plugin, principal)),
        Expr::Not(inner) => !holds(inner, plugin, principal),
        Expr::Compare { field, op, value, .. } => {
            is_met(*op, if field == "plugin" { plugin } else { principal }, value)
        }
        // refused when it was read
        Expr::Call { .. } | Expr::Global { .. } => false,
    }
}
