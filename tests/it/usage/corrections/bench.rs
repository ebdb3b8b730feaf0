//! A desk whose rollups move only when they are told to, and what its figures must be: added up from what the test knows, event by event.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kernel::{Kernel, clock::Time, telemetry::Telemetry};
use metering::{
    query::window::{Span, Window, cut, zone},
    rollup::{roller::Roller, store, verify},
};
use proto::usage::v1::{self as pb, EventStatus, UsageDimension, UsageEvent, UsageWindow};
use tests::{Site, site::Caller, world};
use tokio_util::sync::CancellationToken;

use super::{Desk, at, ingest};
use crate::usage::query;

/// An event, as the test knows it.
#[derive(Clone, Debug)]
pub struct Fact {
    pub seq: i64,
    pub id: String,
    pub time: Time,
    /// Empty for nobody.
    pub person: &'static str,
    pub client: String,
    pub model: String,
    pub plugin: String,
    pub tokens: i64,
    pub skills: i64,
    pub standing: bool,
}

impl Fact {
    /// The event of this id; its content follows from it.
    pub fn new(n: usize) -> Self {
        let number = i64::try_from(n).unwrap();
        Self {
            seq: 0,
            id: n.to_string(),
            time: at(number * 137 % (29 * 1_440)),
            person: ["maria", "sam", "maria", ""][n % 4],
            client: ["codex", "claude-code", "codex"][n % 3].to_owned(),
            model: format!("m{}", n % 3),
            plugin: format!("p{}", n % 5),
            tokens: number % 7 + 1,
            skills: 1,
            standing: true,
        }
    }

    pub fn event(&self) -> UsageEvent {
        let quantity = |key: &str, value: i64| pb::Quantity { key: key.to_owned(), value: value.to_string() };
        let dim = |key: &str, value: &str| pb::Dim { key: key.to_owned(), value: value.to_owned() };
        UsageEvent {
            id: self.id.clone(),
            source: "s".to_owned(),
            r#type: "t".to_owned(),
            client: self.client.clone(),
            subject: self.person.to_owned(),
            time: Some(self.time.into()),
            values: vec![quantity("tokens.output", self.tokens), quantity("skill.invocations", self.skills)],
            dims: vec![dim("model", &self.model), dim("plugin", &self.plugin)],
            ..Default::default()
        }
    }

    pub fn principal(&self) -> String {
        named("principals", self.person)
    }

    fn group(&self, question: &Question) -> String {
        let (role, unit) = match self.person {
            "maria" => ("analyst", "finance"),
            "sam" => ("sales", "field"),
            _ => ("", ""),
        };
        let by = question.group_by.iter().map(|d| match d {
            UsageDimension::Role => named("roles", role),
            UsageDimension::Unit => named("units", unit),
            UsageDimension::Principal => self.principal(),
            UsageDimension::Client => self.client.clone(),
            UsageDimension::RoleFamily | UsageDimension::Unspecified => String::new(),
        });
        let dims = question
            .dims
            .iter()
            .map(|d| if *d == "model" { self.model.clone() } else { self.plugin.clone() });
        by.chain(dims).collect::<Vec<_>>().join("|")
    }
}

fn named(collection: &str, id: &str) -> String {
    if id.is_empty() { String::new() } else { format!("{}/{collection}/{id}", world::ACME) }
}

/// A question, and its answer by adding up.
#[derive(Clone, Debug)]
pub struct Question {
    window: UsageWindow,
    zone: &'static str,
    span: (i64, i64),
    group_by: Vec<UsageDimension>,
    dims: Vec<&'static str>,
    client: &'static str,
    principal: &'static str,
}

/// Figure and number of events by meter, start of the window and group; of what is counted once, the number of events is not compared.
type Figures = BTreeMap<(String, i64, String), (i64, i64)>;

impl Question {
    fn meters(&self) -> Vec<&'static str> {
        let mut meters = vec!["tokens.output"];
        if !self.dims.contains(&"model") {
            meters.push("skill.invocations");
            if !self.group_by.contains(&UsageDimension::Principal) {
                meters.push("active_principals");
            }
        }
        meters
    }

    fn request(&self) -> pb::QueryUsageRequest {
        pb::QueryUsageRequest {
            meters: self.meters().into_iter().map(str::to_owned).collect(),
            start_time: Some(at(self.span.0).into()),
            end_time: Some(at(self.span.1).into()),
            group_by: self.group_by.iter().map(|d| (*d).into()).collect(),
            group_by_dims: self.dims.iter().map(ToString::to_string).collect(),
            window: self.window.into(),
            time_zone: self.zone.to_owned(),
            filter: if self.client.is_empty() { String::new() } else { format!("client = {}", self.client) },
            principal: match self.principal {
                "" => String::new(),
                id => format!("{}/principals/{id}", world::ACME),
            },
            ..Default::default()
        }
    }

    /// The answer is what the standing ones of `facts` add up to.
    pub async fn holds(&self, when: &str, by: &Caller, facts: &[Fact]) {
        let answer = query(by, self.request()).await.unwrap();
        let mut found = Figures::new();
        for row in answer.rows {
            let by = self.group_by.iter().map(|d| match d {
                UsageDimension::Role => row.role.clone(),
                UsageDimension::Unit => row.unit_name.clone(),
                UsageDimension::Principal => row.principal.clone(),
                UsageDimension::Client => row.client.clone(),
                UsageDimension::RoleFamily | UsageDimension::Unspecified => String::new(),
            });
            let group = by.chain(row.dims.iter().map(|d| d.value.clone())).collect::<Vec<_>>().join("|");
            let events = if row.meter == "active_principals" { 0 } else { row.events };
            let twice = found.insert((row.meter, start(row.start_time.as_ref()), group), (row.value, events));
            assert_eq!(twice, None);
        }
        // a figure that is nothing may be told or left out
        found.retain(|_, figure| *figure != (0, 0));
        assert_eq!(found, self.answer(facts), "{when}: {self:?}");
    }

    fn answer(&self, facts: &[Fact]) -> Figures {
        let window = match self.window {
            UsageWindow::Hour => Window::Hour,
            UsageWindow::Day => Window::Day,
            UsageWindow::Week => Window::Week,
            UsageWindow::Month => Window::Month,
            UsageWindow::Total | UsageWindow::Unspecified => Window::Total,
        };
        let whole = Span { start: at(self.span.0), end: at(self.span.1) };
        let windows = cut(whole, window, &zone("zone", self.zone).unwrap()).unwrap();
        let mut figures = Figures::new();
        let mut people = BTreeMap::<(i64, String), std::collections::BTreeSet<&str>>::new();
        let asked = |f: &&Fact| {
            f.standing
                && (self.client.is_empty() || self.client == f.client)
                && (self.principal.is_empty() || self.principal == f.person)
        };
        for fact in facts.iter().filter(asked) {
            let Some(window) = windows.iter().find(|w| w.has(fact.time)) else { continue };
            let (start, group) = (window.start.micros(), fact.group(self));
            for (meter, value) in [("tokens.output", fact.tokens), ("skill.invocations", fact.skills)] {
                if value > 0 && self.meters().contains(&meter) {
                    let figure = figures.entry((meter.to_owned(), start, group.clone())).or_default();
                    *figure = (figure.0 + value, figure.1 + 1);
                }
            }
            if !fact.person.is_empty() && self.meters().contains(&"active_principals") {
                people.entry((start, group)).or_default().insert(fact.person);
            }
        }
        for ((start, group), people) in people {
            figures.insert(
                ("active_principals".to_owned(), start, group),
                (i64::try_from(people.len()).unwrap(), 0),
            );
        }
        figures
    }
}

fn start(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |t| Time::try_from(*t).unwrap().micros())
}

/// Every window, in zones whose days begin at odd times, by everything that figures are told apart by.
pub fn questions() -> Vec<Question> {
    use UsageDimension::{Client, Principal, Role, Unit};
    let all = (0, 31 * 1_440);
    let part = (7 * 1_440 + 77, 21 * 1_440 + 13);
    let base = Question {
        window: UsageWindow::Total,
        zone: "",
        span: all,
        group_by: Vec::new(),
        dims: Vec::new(),
        client: "",
        principal: "",
    };
    vec![
        base.clone(),
        Question { span: part, ..base.clone() },
        Question { window: UsageWindow::Hour, span: (600, 4 * 1_440), ..base.clone() },
        Question { window: UsageWindow::Day, group_by: vec![Client], ..base.clone() },
        Question { window: UsageWindow::Day, zone: "Europe/Berlin", ..base.clone() },
        Question { window: UsageWindow::Day, zone: "Asia/Kathmandu", group_by: vec![Role], ..base.clone() },
        Question {
            window: UsageWindow::Week,
            zone: "Australia/Lord_Howe",
            span: part,
            dims: vec!["plugin"],
            ..base.clone()
        },
        Question {
            window: UsageWindow::Month,
            zone: "America/St_Johns",
            group_by: vec![Unit, Client],
            ..base.clone()
        },
        Question { group_by: vec![Principal], span: part, ..base.clone() },
        Question { window: UsageWindow::Week, group_by: vec![Principal, Client], ..base.clone() },
        Question { dims: vec!["model"], client: "codex", ..base.clone() },
        Question { window: UsageWindow::Day, principal: "sam", ..base.clone() },
        Question { window: UsageWindow::Week, client: "claude-code", dims: vec!["plugin"], ..base },
    ]
}

/// The desk, and what it was told.
pub struct Bench {
    pub desk: Desk,
    pub facts: Vec<Fact>,
    pub roller: Roller,
    next: usize,
}

impl Bench {
    /// On a server of its own, on the engine of `site`.
    pub async fn open(site: Site) -> Self {
        let still = [("usage.rollup_interval_ms", "3600000".to_owned())];
        let desk = Desk::open(Site::start_with(site.engine, &still).await).await;
        let roller = Roller::new(&desk.world.site.running.kernel, &Telemetry::quiet().unwrap().meter());
        Self { desk, facts: Vec::new(), roller, next: 0 }
    }

    pub fn owner(&self) -> Caller {
        self.desk.world.owner.clone()
    }

    pub fn kernel(&self) -> Arc<Kernel> {
        Arc::clone(&self.desk.world.site.running.kernel)
    }

    /// Sends the next `count` events.
    pub async fn ingest(&mut self, count: usize) {
        let mut facts: Vec<_> = (self.next..self.next + count).map(Fact::new).collect();
        self.next += count;
        let events = facts.iter().map(Fact::event).collect();
        let answers = ingest(&self.desk, &self.desk.tenant, vec![events]).await.unwrap();
        for (fact, status) in facts.iter_mut().zip(&answers[0].statuses) {
            assert_eq!(status.outcome(), pb::EventOutcome::Accepted, "{status:?}");
            fact.seq = status.seq;
        }
        self.facts.extend(facts);
    }

    /// Sends the event of this number again.
    pub async fn resend(&self, n: usize) -> EventStatus {
        let answers = ingest(&self.desk, &self.desk.tenant, vec![vec![Fact::new(n).event()]]).await.unwrap();
        answers[0].statuses[0].clone()
    }

    /// Rolls up once, as the server does every half second.
    pub async fn look(&mut self) {
        self.roller.look(&CancellationToken::new()).await.unwrap();
    }

    /// Rolls up until nothing is left, figures by principal too.
    pub async fn roll(&mut self) {
        for _ in 0..100 {
            self.kernel().clock.advance(Duration::from_secs(11));
            self.look().await;
            let kernel = self.kernel();
            if store::due_list(&mut kernel.db.reader().await.unwrap(), 10).await.unwrap().is_empty() {
                return;
            }
        }
        panic!("usage is rolled up");
    }

    pub fn void(&mut self, seqs: &[i64]) {
        self.facts.iter_mut().filter(|f| seqs.contains(&f.seq)).for_each(|f| f.standing = false);
    }

    pub fn stand(&mut self, seqs: &[i64]) {
        self.facts.iter_mut().filter(|f| seqs.contains(&f.seq)).for_each(|f| f.standing = true);
    }

    pub fn standing(&self) -> Vec<i64> {
        let mut seqs: Vec<_> = self.facts.iter().filter(|f| f.standing).map(|f| f.seq).collect();
        seqs.sort_unstable();
        seqs
    }

    /// The answer to one question is what the standing events add up to.
    pub async fn check(&self, when: &str, question: &Question) {
        question.holds(when, &self.desk.world.owner, &self.facts).await;
    }

    pub async fn check_all(&self, when: &str) {
        for question in questions() {
            self.check(when, &question).await;
        }
    }

    pub async fn verified(&self) -> verify::Report {
        let kernel = self.kernel();
        let tenant = store::tenant_list(&mut kernel.db.reader().await.unwrap()).await.unwrap()[0];
        verify::verify(&kernel, tenant).await.unwrap()
    }
}
