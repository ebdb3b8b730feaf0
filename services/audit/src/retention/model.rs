//! Retention, legal holds and erasures, without any I/O.

use std::{collections::BTreeMap, time::Duration};

use kernel::{
    Error, Result,
    audit::{Resource, subject::Subject},
    check::Checks,
    clock::Time,
    hash,
    ids::{PrincipalId, Slug},
    scope::Scope,
    stamp,
};
use serde::{Deserialize, Serialize};
use tenancy::principal::model::Principal;
use uuid::Uuid;

/// Event classes, as in `cls` of an entry.
pub const CLASSES: [&str; 6] = ["admin_write", "admin_read", "decision", "auth", "audit_read", "system"];
/// Days that a class is kept where nothing else was said: seven years.
pub const DEFAULT_DAYS: i64 = 2_555;
/// Fewest days that a class can be kept.
pub const MIN_DAYS: i64 = 30;
/// Most days that a class can be kept.
pub const MAX_DAYS: i64 = 36_500;
/// Fewest days that decisions are kept: the six months of Regulation (EU) 2024/1689, article 26(6), in days at their longest.
pub const DECISION_FLOOR: i64 = 184;

const DECISION: &str = "decision";

/// How long the events of one log are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Whose log: empty, `partners/{p}` or `tenants/{t}`.
    pub parent: String,
    /// Days by class; every class is in it.
    #[serde(flatten)]
    pub days: BTreeMap<String, i64>,
    /// Events below this index were pruned.
    pub minimum_index: i64,
}

impl Resource for Retention {
    const KIND: &'static str = "retention";

    fn name(&self) -> String {
        below(&self.parent, "retention")
    }
}

impl Retention {
    /// What holds where `stored` was said. A floor holds whoever wrote a lower number.
    pub fn effective(scope: &Scope, stored: Vec<(String, i64)>, minimum_index: i64) -> Self {
        let mut days: BTreeMap<_, _> = CLASSES.map(|class| (class.to_owned(), DEFAULT_DAYS)).into();
        days.extend(stored.into_iter().map(|(class, days)| {
            let days = days.max(floor(&class));
            (class, days)
        }));
        Self { parent: parent_name(scope), days, minimum_index }
    }

    /// With other days for some classes; those that are not named stay.
    pub fn changed(&self, changes: &[(String, i64)]) -> Result<Self> {
        const FIELD: &str = "retention.classes";
        let mut checks = Checks::new();
        checks.that(FIELD, !changes.is_empty(), "is empty; name at least one class");
        let mut after = self.clone();
        for (n, (class, days)) in changes.iter().enumerate() {
            let known = CLASSES.contains(&class.as_str());
            let classes = CLASSES.join("`, `");
            let unknown =
                format!("`{}` is not an event class; use one of `{classes}`", kernel::ids::clip(class));
            checks.that(FIELD, known, unknown);
            let twice = changes.iter().take(n).any(|(earlier, _)| earlier == class);
            checks.that(FIELD, !twice, format!("names `{}` twice", kernel::ids::clip(class)));
            let floor = floor(class);
            let low = format!(
                "`{days}` days are below the floor of `{class}`, {floor} days, which cannot be lowered"
            );
            checks.that(FIELD, !known || *days >= floor, low);
            checks.that(
                FIELD,
                *days <= MAX_DAYS,
                format!("`{days}` days are too many; use at most {MAX_DAYS}"),
            );
            after.days.insert(class.clone(), *days);
        }
        checks.done().map(|()| after)
    }

    /// Tells one version of the days from another.
    pub fn etag(&self) -> String {
        let days: Vec<_> = self.days.iter().map(|(class, days)| format!("{class}={days}")).collect();
        hash::short_hex(days.join(";").as_bytes())
    }

    /// Refuses a stale etag; an empty one is not checked.
    pub fn matches(&self, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(Error::EtagStale { name: self.name() })
    }
}

/// Fewest days that a class is kept.
fn floor(class: &str) -> i64 {
    if class == DECISION { DECISION_FLOOR } else { MIN_DAYS }
}

/// Keeps events past their time, and people from being erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct LegalHold {
    /// Whose log; nil on the platform.
    pub scope_id: Uuid,
    /// The same by name: empty, `partners/{p}` or `tenants/{t}`.
    pub parent: String,
    /// Identity.
    pub id: Uuid,
    /// Last segment of the name.
    pub slug: Slug,
    /// Matter or order.
    pub reason: String,
    /// Whom it is about; none holds the whole log.
    pub principal_id: Option<PrincipalId>,
    /// The same, by id in names.
    pub principal_slug: Option<Slug>,
    /// Counts changes, from 1; the etag.
    pub revision: i64,
    /// When it was created.
    pub create_time: Time,
    /// When it last changed.
    pub update_time: Time,
    /// When it was released; none while it holds.
    pub release_time: Option<Time>,
}

impl Resource for LegalHold {
    const KIND: &'static str = "legal_hold";
    const PERSONAL: &'static [&'static str] = &["reason"];

    fn name(&self) -> String {
        below(&self.parent, &format!("legalHolds/{}", self.slug))
    }

    fn subject(&self) -> Option<Subject> {
        self.principal_id.map(|id| Subject { scope: self.scope_id, principal: id.0 })
    }
}

impl LegalHold {
    /// A new hold on `principal`, or on the whole log of the scope.
    pub fn create(
        scope: &Scope,
        id: Uuid,
        slug: &str,
        reason: String,
        principal: Option<&Principal>,
        now: Time,
    ) -> Result<Self> {
        let slug = Slug::parse_dotted("legal_hold_id", slug)?;
        let mut checks = Checks::new();
        let letter = slug.as_str().starts_with(|c: char| c.is_ascii_lowercase());
        checks.that("legal_hold_id", letter, format!("`{slug}` is not an id: start it with a letter"));
        checks.text("legal_hold.reason", &reason, 1, 1_024);
        checks.done()?;
        Ok(Self {
            scope_id: scope.id(),
            parent: parent_name(scope),
            id,
            slug,
            reason,
            principal_id: principal.map(|p| p.id),
            principal_slug: principal.map(|p| p.slug.clone()),
            revision: 1,
            create_time: now,
            update_time: now,
            release_time: None,
        })
    }

    /// The hold, released.
    pub fn released(&self, now: Time) -> Result<Self> {
        if self.release_time.is_some() {
            let name = self.name();
            let message = format!("`{name}` was released already, so there is nothing to release");
            return Err(Error::illegal_state(name, message));
        }
        let now = now.max(self.update_time);
        Ok(Self { revision: self.revision + 1, update_time: now, release_time: Some(now), ..self.clone() })
    }

    /// Name of the principal, or empty.
    pub fn principal(&self) -> String {
        let name = |slug: &Slug| below(&self.parent, &format!("principals/{slug}"));
        self.principal_slug.as_ref().map_or_else(String::new, name)
    }

    /// The etag.
    pub fn etag(&self) -> String {
        stamp::etag(self.revision)
    }

    /// Refuses a stale etag; an empty one is not checked.
    pub fn matches(&self, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(Error::EtagStale { name: self.name() })
    }
}

/// A person taken out of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Name of the principal.
    pub principal: String,
    /// The person's request or the legal ground, without personal data.
    pub reason: String,
    /// Revision of what is left of the principal.
    pub revision: i64,
    /// When the key was destroyed.
    pub erase_time: Time,
    /// Events whose sealed fields can no longer be opened.
    pub events: i64,
}

impl Resource for Erasure {
    const KIND: &'static str = "principal";
    // the actor's words
    const PERSONAL: &'static [&'static str] = &["reason"];

    fn name(&self) -> String {
        self.principal.clone()
    }
}

impl Erasure {
    /// Refuses a reason that says nothing or too much.
    pub fn checked_reason(reason: &str) -> Result<()> {
        let mut checks = Checks::new();
        checks.text("reason", reason, 1, 1_024);
        checks.done()
    }
}

/// What decides which events may go.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Days by class.
    days: BTreeMap<String, i64>,
    /// Whether everything is held.
    all: bool,
    /// What the entries of held persons' events have in them.
    marks: Vec<String>,
}

impl Rule {
    /// From the retention and the holds that stand; `keys` are the ids of the held persons' keys.
    pub fn new(retention: &Retention, holds: &[LegalHold], keys: &[Uuid]) -> Self {
        let mut marks: Vec<_> = keys.iter().map(Uuid::to_string).collect();
        for hold in holds {
            // by identity as an actor, by name as a target
            marks.extend(hold.principal_id.map(|id| id.to_string()));
            marks.extend(hold.principal_slug.is_some().then(|| format!("\"{}\"", hold.principal())));
        }
        marks.sort();
        let all = holds.iter().any(|h| h.principal_id.is_none());
        Self { days: retention.days.clone(), all, marks }
    }

    /// Whether the event must stay at `now`. What cannot be read stays.
    pub fn keeps(&self, time: Time, entry: &str, now: Time) -> bool {
        #[derive(Deserialize)]
        struct Classed {
            cls: String,
        }
        let Ok(Classed { cls }) = serde_json::from_str(entry) else { return true };
        let Some(days) = self.days.get(&cls).and_then(|d| u64::try_from(*d).ok()) else { return true };
        let due = time.plus(Duration::from_hours(24 * days.min(MAX_DAYS.unsigned_abs())));
        self.all || now < due || self.marks.iter().any(|mark| entry.contains(mark))
    }
}

/// The scope in the names of what is below it: nothing for the platform.
fn parent_name(scope: &Scope) -> String {
    match scope {
        Scope::Platform => String::new(),
        other => other.to_string(),
    }
}

fn below(parent: &str, rest: &str) -> String {
    if parent.is_empty() { rest.to_owned() } else { format!("{parent}/{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_800_000_000_000_000);

    fn hold(principal: Option<&str>) -> LegalHold {
        let mut hold =
            LegalHold::create(&Scope::Platform, Uuid::nil(), "matter-7", "order".to_owned(), None, NOW)
                .unwrap();
        hold.principal_id = principal.map(|_| PrincipalId(Uuid::from_u128(5)));
        hold.principal_slug = principal.map(|p| Slug::parse("id", p).unwrap());
        hold
    }

    fn changes(class: &str, days: i64) -> Vec<(String, i64)> {
        vec![(class.to_owned(), days)]
    }

    #[test]
    fn every_class_has_a_default_and_a_floor() {
        let retention = Retention::effective(&Scope::Platform, changes("auth", 90), 0);
        assert_eq!(retention.days.len(), CLASSES.len());
        assert_eq!((retention.days["auth"], retention.days["decision"]), (90, DEFAULT_DAYS));
        let low = CLASSES.map(|class| (class.to_owned(), 1));
        let written = Retention::effective(&Scope::Platform, low.into(), 0);
        for class in CLASSES {
            let floor = if class == DECISION { DECISION_FLOOR } else { MIN_DAYS };
            assert_eq!(written.days[class], floor, "a lower number in the table is not obeyed");
            assert!(retention.changed(&changes(class, floor)).is_ok(), "{class}");
            let refused = retention.changed(&changes(class, floor - 1)).unwrap_err().to_string();
            assert!(refused.contains(&format!("floor of `{class}`, {floor} days")), "{refused}");
            assert!(retention.changed(&changes(class, MAX_DAYS)).is_ok());
            assert!(retention.changed(&changes(class, MAX_DAYS + 1)).is_err());
        }
    }

    #[test]
    fn unknown_repeated_and_missing_classes_are_refused() {
        let retention = Retention::effective(&Scope::Platform, Vec::new(), 0);
        assert!(retention.changed(&[]).is_err());
        assert!(retention.changed(&changes("gossip", 90)).is_err());
        assert!(retention.changed(&[changes("auth", 90), changes("auth", 91)].concat()).is_err());
    }

    #[test]
    fn the_etag_is_of_the_days_alone_and_the_whole_reads_back() {
        let before = Retention::effective(&Scope::Platform, Vec::new(), 0);
        let pruned = Retention { minimum_index: 512, ..before.clone() };
        assert_eq!(before.etag(), pruned.etag());
        let after = before.changed(&changes("system", 30)).unwrap();
        assert_ne!(before.etag(), after.etag());
        assert!(matches!(after.matches(&before.etag()), Err(Error::EtagStale { .. })));
        let json = serde_json::to_string(&after).unwrap();
        assert_eq!(serde_json::from_str::<Retention>(&json).unwrap(), after);
    }

    #[test]
    fn a_hold_is_released_once() {
        let released = hold(None).released(NOW).unwrap();
        assert_eq!((released.etag().as_str(), released.release_time), ("r2", Some(NOW)));
        assert!(released.released(NOW).is_err());
        for bad in ["", "7-matter", "Matter", "a/b"] {
            let made = LegalHold::create(&Scope::Platform, Uuid::nil(), bad, "order".to_owned(), None, NOW);
            assert!(matches!(made, Err(Error::Invalid(_))), "{bad}");
        }
        let long = "x".repeat(1_025);
        for bad in ["", long.as_str()] {
            let made = LegalHold::create(&Scope::Platform, Uuid::nil(), "m", bad.to_owned(), None, NOW);
            assert!(matches!(made, Err(Error::Invalid(_))));
        }
    }

    #[test]
    fn an_event_goes_when_its_days_are_over_to_the_microsecond() {
        let retention = Retention::effective(&Scope::Platform, changes("auth", 30), 0);
        let rule = Rule::new(&retention, &[], &[]);
        let due = NOW.plus(Duration::from_hours(24 * 30));
        assert!(!rule.keeps(NOW, r#"{"cls":"auth"}"#, due));
        assert!(rule.keeps(NOW, r#"{"cls":"auth"}"#, Time::from_micros(due.micros() - 1)));
        assert!(rule.keeps(NOW, r#"{"cls":"system"}"#, due), "another class is kept longer");
        for unreadable in ["", "{}", r#"{"cls":"gossip"}"#] {
            assert!(rule.keeps(NOW, unreadable, due), "{unreadable}");
        }
    }

    #[test]
    fn a_hold_keeps_what_names_its_person_and_a_whole_one_keeps_everything() {
        let retention = Retention::effective(&Scope::Platform, changes("auth", 30), 0);
        let due = NOW.plus(Duration::from_hours(24 * 30));
        let key = Uuid::from_u128(9);
        let about = |more: String| format!(r#"{{"cls":"auth",{more}}}"#);
        let rule = Rule::new(&retention, &[hold(Some("maria"))], &[key]);
        for held in [
            format!(r#""actor":{{"id":"{}"}}"#, Uuid::from_u128(5)),
            r#""tgt":[{"id":"principals/maria","k":"principal"}]"#.to_owned(),
            format!(r#""ip":{{"$s":"AA==","k":"{}.{key}"}}"#, Uuid::nil()),
        ] {
            assert!(rule.keeps(NOW, &about(held.clone()), due), "{held}");
        }
        let other = about(r#""tgt":[{"id":"principals/maria-2","k":"principal"}]"#.to_owned());
        assert!(!rule.keeps(NOW, &other, due));
        assert!(Rule::new(&retention, &[hold(None)], &[]).keeps(NOW, &other, due));
    }
}
