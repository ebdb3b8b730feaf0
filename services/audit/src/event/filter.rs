//! What a caller searches for: the fields and functions of the filter language, and whether an event has them.

use std::collections::BTreeSet;

use kernel::{
    Result,
    clock::Time,
    error::Error,
    filter::{Arg, Comparator, Expr, parse},
    ids::clip,
};
use serde_json::Value;

use super::{
    model::Entry,
    network::Network,
    tree::Tree,
    words::{words, words_of},
};

/// Most terms that one filter may look up.
const MAX_TERMS: usize = 128;
const OUTCOMES: &[&str] = &["ok", "denied", "failed"];
const CLASSES: &[&str] = &["admin_write", "admin_read", "decision", "auth", "audit_read", "system"];
const KNOWN: &str = "`actor`, `action`, `outcome`, `class`, `target`, `ip`, `partner`, `delegation`, `request_id`, `trace_id`, `time`, \
     `text(…)`, `cidr(ip, …)` and `actor(…)`";

/// A field that holds text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Who acted.
    Actor,
    /// `role.create`.
    Action,
    /// `ok`.
    Outcome,
    /// `admin_write`.
    Class,
    /// Any target.
    Target,
    /// On whose mandate.
    Partner,
    /// Under which delegation.
    Delegation,
    /// The request.
    Request,
    /// The trace.
    Trace,
}

/// One thing that an event has or has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Every event has it.
    Every,
    /// A field is this text.
    Is(Field, String),
    /// A field begins with this text, which ends with the mark that the index splits it at.
    Under(Field, String),
    /// All of these words.
    Words(BTreeSet<String>),
    /// The caller's address is in this network.
    Within(Network),
    /// This person acted, or an agent for that person.
    By(String),
    /// The event's time compares so.
    Time(Comparator, Time),
}

/// A parsed filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(super) tree: Tree<Check>,
}

impl Filter {
    /// Reads a filter; an empty one has every event. Errors: INVALID_ARGUMENT with the position.
    pub fn parse(text: &str) -> Result<Self> {
        let tree = parse(text)?.map_or(Ok(Tree::Leaf(Check::Every)), |expr| tree(&expr))?;
        let mut terms = 0;
        tree.each(&mut |check| terms += check.terms());
        if terms > MAX_TERMS {
            return Err(fault(
                0,
                format!("looks for {terms} things; {MAX_TERMS} are the most, ask for less at once"),
            ));
        }
        Ok(Self { tree })
    }

    /// Whether it asks for something that is a person's, which is sealed in what is recorded.
    pub fn is_about_people(&self) -> bool {
        let mut found = false;
        self.tree.each(&mut |check| found |= matches!(check, Check::Words(_) | Check::Within(_)));
        found
    }

    /// The words that it looks for.
    pub fn words(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.tree.each(&mut |check| {
            if let Check::Words(words) = check {
                found.extend(words.iter().cloned());
            }
        });
        found
    }

    /// Whether an event has it, by its opened entry and its time.
    pub fn matches(&self, opened: &Value, time: Time) -> bool {
        let entry = Entry(opened);
        self.tree.holds(&|check| check.holds(entry, time))
    }
}

impl Check {
    fn holds(&self, entry: Entry<'_>, time: Time) -> bool {
        match self {
            Self::Every => true,
            Self::Is(Field::Target, text) => {
                let mut targets = entry.targets().peekable();
                (text.is_empty() && targets.peek().is_none()) || targets.any(|target| target == text)
            }
            Self::Under(Field::Target, front) => entry.targets().any(|target| target.starts_with(front)),
            Self::Is(field, text) => field.of(entry) == text,
            Self::Under(field, front) => field.of(entry).starts_with(front),
            Self::Words(words) => words.is_subset(&words_of(entry)),
            Self::Within(network) => entry.ip().is_some_and(|ip| network.holds(ip)),
            Self::By(name) => entry.actor() == name || entry.owner() == name,
            Self::Time(op, than) => compare(*op, time, *than),
        }
    }

    /// How many terms it looks up.
    fn terms(&self) -> usize {
        match self {
            Self::Every | Self::Time(..) => 0,
            Self::Is(..) | Self::Under(..) => 1,
            Self::By(_) => 2,
            Self::Words(words) => words.len(),
            Self::Within(network) => network.cover().map_or(0, |cover| cover.prefixes.len()),
        }
    }
}

impl Field {
    fn of(self, entry: Entry<'_>) -> &str {
        match self {
            Self::Actor => entry.actor(),
            Self::Action => entry.action(),
            Self::Outcome => entry.outcome(),
            Self::Class => entry.class(),
            Self::Partner => entry.partner(),
            Self::Delegation => entry.delegation(),
            Self::Request => entry.request_id(),
            Self::Trace => entry.trace_id(),
            Self::Target => entry.targets().next().unwrap_or_default(),
        }
    }
}

/// Whether `time` compares with `than` as asked.
pub fn compare(op: Comparator, time: Time, than: Time) -> bool {
    match op {
        Comparator::Equal | Comparator::Has => time == than,
        Comparator::NotEqual => time != than,
        Comparator::Less => time < than,
        Comparator::LessEqual => time <= than,
        Comparator::Greater => time > than,
        Comparator::GreaterEqual => time >= than,
    }
}

fn fault(position: usize, message: impl Into<String>) -> Error {
    Error::Filter { position, message: message.into() }
}

fn tree(expr: &Expr) -> Result<Tree<Check>> {
    let all = |parts: &[Expr]| parts.iter().map(tree).collect::<Result<Vec<_>>>();
    match expr {
        Expr::And(parts) => Ok(Tree::All(all(parts)?)),
        Expr::Or(parts) => Ok(Tree::Any(all(parts)?)),
        Expr::Not(inner) => Ok(tree(inner)?.negated()),
        Expr::Global { value, at } => has_words(value, *at),
        Expr::Call { name, args, at } => call(name, args, *at),
        Expr::Compare { field, op, value, quoted, at, value_at } => {
            let value = Literal { text: value, quoted: *quoted, at: *value_at };
            let field = match field.as_str() {
                "time" => return value.time(*op),
                "outcome" => return value.one_of(Field::Outcome, OUTCOMES, *op, *at),
                "class" | "event_class" => return value.one_of(Field::Class, CLASSES, *op, *at),
                "ip" => return value.address(*op, *at),
                "actor" => Field::Actor,
                "action" => Field::Action,
                "target" => Field::Target,
                "partner" => Field::Partner,
                "delegation" => Field::Delegation,
                "request_id" => Field::Request,
                "trace_id" => Field::Trace,
                other => {
                    return Err(fault(*at, format!("unknown field `{}`; known are {KNOWN}", clip(other))));
                }
            };
            value.text(field, *op, *at)
        }
    }
}

fn call(name: &str, args: &[Arg], at: usize) -> Result<Tree<Check>> {
    match (name, args) {
        ("text", [words]) if words.quoted => has_words(&words.value, words.at),
        ("text", _) => Err(fault(at, "`text` takes one quoted text: `text(\"maria lopez\")`")),
        ("actor", [who]) if who.quoted => Ok(Tree::Leaf(Check::By(plain(&who.value)))),
        ("actor", _) => {
            Err(fault(at, "`actor` takes one quoted name: `actor(\"tenants/acme/principals/maria\")`"))
        }
        ("cidr", [ip, network]) if ip.value == "ip" && !ip.quoted && network.quoted => within(network),
        ("cidr", _) => {
            Err(fault(at, "`cidr` takes the word ip and a quoted network: `cidr(ip, \"10.0.0.0/8\")`"))
        }
        (other, _) => Err(fault(
            at,
            format!("unknown function `{}`; known are `text`, `cidr` and `actor`", clip(other)),
        )),
    }
}

fn within(network: &Arg) -> Result<Tree<Check>> {
    let found = Network::parse(&network.value).ok_or_else(|| {
        let text = clip(&network.value);
        fault(network.at, format!("`{text}` is not a network; write `10.0.0.0/8` or `2001:db8::/32`"))
    })?;
    if found.cover().is_none() {
        let message = format!("`{}` is too wide; name at least {} bits", clip(&network.value), found.least());
        return Err(fault(network.at, message));
    }
    Ok(Tree::Leaf(Check::Within(found)))
}

fn has_words(text: &str, at: usize) -> Result<Tree<Check>> {
    let words: BTreeSet<_> = words(&plain(text)).collect();
    if words.is_empty() {
        let message = format!("`{}` holds no word of two or more letters or digits", clip(text));
        return Err(fault(at, message));
    }
    Ok(Tree::Leaf(Check::Words(words)))
}

/// Text in which `\*` was written for a star.
fn plain(text: &str) -> String {
    text.replace("\\*", "*")
}

/// The right side of a comparison.
struct Literal<'e> {
    text: &'e str,
    quoted: bool,
    at: usize,
}

impl Literal<'_> {
    fn time(&self, op: Comparator) -> Result<Tree<Check>> {
        let time = Time::parse("filter", self.text).map_err(|_| {
            let text = clip(self.text);
            let example = "write RFC 3339, for example `\"2026-11-05T10:30:00Z\"`";
            fault(self.at, format!("`{text}` is not a time; {example}"))
        })?;
        Ok(Tree::Leaf(Check::Time(op, time)))
    }

    /// An address; whole networks are asked for with `cidr`.
    fn address(&self, op: Comparator, at: usize) -> Result<Tree<Check>> {
        let found = Network::parse(self.text).filter(|_| !self.text.contains('/'));
        let found = found.ok_or_else(|| {
            let text = clip(self.text);
            fault(
                self.at,
                format!("`{text}` is not an address; for a network write `cidr(ip, \"10.0.0.0/8\")`"),
            )
        })?;
        let leaf = Tree::Leaf(Check::Within(found));
        match op {
            Comparator::Equal => Ok(leaf),
            Comparator::NotEqual => Ok(leaf.negated()),
            Comparator::Has => {
                Err(fault(at, "`:` is not searched here; use `=`, or `cidr(ip, …)` for a network"))
            }
            _ => Err(unordered(at)),
        }
    }

    /// A field of a few words, written in any case.
    fn one_of(&self, field: Field, words: &[&str], op: Comparator, at: usize) -> Result<Tree<Check>> {
        let word = self.text.to_ascii_lowercase();
        if !words.contains(&word.as_str()) {
            let text = clip(self.text);
            return Err(fault(self.at, format!("`{text}` is none of `{}`", words.join("`, `"))));
        }
        let leaf = Tree::Leaf(Check::Is(field, word));
        match op {
            Comparator::Equal | Comparator::Has => Ok(leaf),
            Comparator::NotEqual => Ok(leaf.negated()),
            _ => Err(unordered(at)),
        }
    }

    fn text(&self, field: Field, op: Comparator, at: usize) -> Result<Tree<Check>> {
        match op {
            Comparator::Equal => self.like(field),
            Comparator::NotEqual => Ok(self.like(field)?.negated()),
            Comparator::Has if self.text == "*" && !self.quoted => {
                Ok(Tree::Leaf(Check::Is(field, String::new())).negated())
            }
            Comparator::Has if field == Field::Target => self.like(field),
            Comparator::Has => {
                Err(fault(at, "`:` is not searched here; use `=` for the whole, or `text(\"…\")` for words"))
            }
            _ => Err(unordered(at)),
        }
    }

    /// The whole text, or its front with a trailing star.
    fn like(&self, field: Field) -> Result<Tree<Check>> {
        let star = self.text.ends_with('*') && !self.text.ends_with("\\*");
        let front = if star { self.text.strip_suffix('*').unwrap_or_default() } else { self.text };
        if front.replace("\\*", "").contains('*') {
            return Err(fault(
                self.at,
                "`*` is understood at the end only; write `\\*` in quotes for a star itself",
            ));
        }
        let front = plain(front);
        let check = match (star, field) {
            (false, _) => Check::Is(field, front),
            (true, Field::Action | Field::Target) if front.is_empty() => Check::Every,
            (true, Field::Action) if front.ends_with('.') => Check::Under(field, front),
            (true, Field::Target) if front.ends_with('/') => Check::Under(field, front),
            (true, Field::Action) => {
                return Err(fault(self.at, "an action takes `*` behind its dot only: `role.*`"));
            }
            (true, Field::Target) => {
                return Err(fault(self.at, "a target takes `*` behind a slash only: `tenants/acme/roles/*`"));
            }
            (true, _) => {
                return Err(fault(self.at, "takes no `*`; write the whole, or use `text(\"…\")` for words"));
            }
        };
        Ok(Tree::Leaf(check))
    }
}

fn unordered(at: usize) -> Error {
    fault(at, "has no order; use `=` or `!=`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOON: &str = "2026-11-23T12:00:00Z";

    fn matches(filter: &str) -> bool {
        let entry = json!({
            "act": "role.create", "out": "ok", "cls": "admin_write", "req": "r-1", "trace": "",
            "actor": {"k": "agent", "p": "tenants/acme/principals/bot", "o": "tenants/acme/principals/maria"},
            "tgt": [{"id": "tenants/acme/roles/banker"}, {"id": "tenants/acme"}],
            "via": {"delegation": "tenants/acme/delegations/roll-out"},
            "ip": "10.1.2.3", "chg": [{"f": "/display_name", "o": null, "n": "Investment Banker"}],
        });
        Filter::parse(filter).unwrap().matches(&entry, Time::parse("t", NOON).unwrap())
    }

    #[test]
    fn every_field_and_function_is_compared() {
        for filter in [
            "",
            "actor = \"tenants/acme/principals/bot\"",
            "actor(\"tenants/acme/principals/bot\")",
            "actor(\"tenants/acme/principals/maria\")",
            "action = role.create",
            "action = role.*",
            "action = \"*\"",
            "outcome = OK AND event_class:admin_write",
            "target = \"tenants/acme\"",
            "target : \"tenants/acme/roles/banker\"",
            "target = \"tenants/acme/roles/*\"",
            "partner = \"\"",
            "-partner:*",
            "class = admin_write AND class != auth",
            "ip = \"10.1.2.3\" AND ip != \"10.1.2.4\"",
            "ip = \"::ffff:10.1.2.3\"",
            "delegation = \"tenants/acme/delegations/roll-out\" AND delegation:*",
            "request_id = \"r-1\" AND request_id:*",
            "trace_id != \"x\"",
            "time = \"2026-11-23T12:00:00Z\" AND time >= 2026-11-23T12:00:00Z AND time < 2026-11-23T12:00:01Z",
            "text(\"banker INVESTMENT\")",
            "banker",
            "cidr(ip, \"10.0.0.0/8\")",
            "cidr(ip, \"10.1.2.3\")",
            "NOT cidr(ip, \"11.0.0.0/8\")",
        ] {
            assert!(matches(filter), "{filter}");
        }
        for filter in [
            "actor = \"tenants/acme/principals/maria\"",
            "action = \"role.\"",
            "action = token.*",
            "outcome != ok",
            "class = auth",
            "ip = \"10.1.2.4\"",
            "ip != \"10.1.2.3\"",
            "delegation = \"\"",
            "target = \"tenants/acme/roles/\"",
            "target != \"tenants/acme\"",
            "target = \"\"",
            "text(\"banker private\")",
            "time > 2026-11-23T12:00:00Z",
            "cidr(ip, \"10.1.2.2\")",
            "actor(\"maria\")",
        ] {
            assert!(!matches(filter), "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused_with_its_position() {
        for (filter, position) in [
            ("colour = 1", 0),
            ("outcome = fine", 10),
            ("outcome > ok", 0),
            ("time > tomorrow", 7),
            ("actor < x", 0),
            ("class = secret", 8),
            ("ip = \"10.0.0.0/8\"", 5),
            ("ip = ten", 5),
            ("ip : \"10.1.2.3\"", 0),
            ("ip > \"10.1.2.3\"", 0),
            ("action : role", 0),
            ("action = role.cr*", 9),
            ("action = *.create", 9),
            ("target = \"tenants/acme/roles/b*\"", 9),
            ("partner = \"partners/*\"", 10),
            ("outcome = ok AND text(banker)", 17),
            ("text(\"a b\")", 5),
            ("cidr(ip, \"10.0.0.0/4\")", 9),
            ("cidr(ip, \"ten\")", 9),
            ("cidr(\"ip\", \"10.0.0.0/8\")", 0),
            ("now()", 0),
            ("-", 1),
        ] {
            match Filter::parse(filter) {
                Err(Error::Filter { position: found, .. }) => assert_eq!(found, position, "{filter}"),
                other => panic!("{filter}: {other:?}"),
            }
        }
        let many: Vec<_> = (0..129).map(|n| format!("w{n:03}")).collect();
        assert!(Filter::parse(&many.join(" OR ")).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_text_makes_it_panic(text in "((actor|action|target|time|outcome|text\\(|cidr\\(|ip|,|\"10.0.0.0/8\"|\"a/\\*\"|\\(|\\)|=|!=|<|:|NOT|OR|-|x.\\*|\\*) ?){0,20}") {
            if let Ok(filter) = Filter::parse(&text) {
                let _ = filter.matches(&json!({}), Time::from_micros(0));
            }
        }
    }
}
