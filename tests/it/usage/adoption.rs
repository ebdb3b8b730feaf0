//! Who is active, how far people came, and how a partner's clients stand: held against plain counting of the events that were sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kernel::clock::Time;
use proto::{
    entitlement::v1::Effect,
    role::v1::{self as role, RoleFamily, role_service_client::RoleServiceClient},
    token::v1::{self as token, TokenKind},
    usage::v1::{
        self as pb, AdoptionDimension, AdoptionWindow, UsageEvent, usage_service_client::UsageServiceClient,
    },
};
use serde_json::json;
use tests::{
    both_engines, market,
    site::{Caller, START},
    staff, world,
};
use tonic::{Code, Status};

use super::{Desk, ingest::ingest, query, request, rollup::rolled_up};
use crate::errors::reason;

const DAY: i64 = 86_400_000_000;
const UNITS: [&str; 2] = ["u0", "u1"];
/// Whom an event is of, under which role, and that role's family.
const ROLES: [(&str, RoleFamily); 4] = [
    ("backend", RoleFamily::Developer),
    ("frontend", RoleFamily::Developer),
    ("banker", RoleFamily::NonDeveloper),
    ("guest", RoleFamily::Unspecified),
];
const PEOPLE: usize = 12;
const PLUGINS: [&str; 3] = ["", "kit", "mail"];

fn long(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

fn start() -> i64 {
    Time::parse("start", START).unwrap().micros()
}

/// An event as the oracle has it.
#[derive(Clone, Debug)]
struct Sent {
    who: usize,
    client: &'static str,
    plugin: &'static str,
    time: i64,
}

impl Sent {
    /// The role of a person; the last two hold none.
    fn role(&self) -> Option<(&'static str, RoleFamily)> {
        (self.who < PEOPLE - 2).then(|| ROLES[self.who % ROLES.len()])
    }

    fn group(&self, by: AdoptionDimension) -> String {
        match by {
            AdoptionDimension::Unspecified => String::new(),
            AdoptionDimension::RoleFamily => {
                self.role().map_or(RoleFamily::Unspecified, |r| r.1).as_str_name().to_owned()
            }
            AdoptionDimension::Role => {
                self.role().map_or_else(String::new, |r| world::child(world::ACME, "roles", r.0))
            }
            AdoptionDimension::Unit => world::child(world::ACME, "units", UNITS[self.who % 2]),
            AdoptionDimension::Plugin => self.plugin.to_owned(),
            AdoptionDimension::Client => self.client.to_owned(),
        }
    }

    fn event(&self, id: usize) -> UsageEvent {
        let dims = [("plugin", self.plugin)].into_iter().filter(|(_, value)| !value.is_empty());
        UsageEvent {
            id: id.to_string(),
            source: "s".to_owned(),
            r#type: "t".to_owned(),
            subject: format!("p{}", self.who),
            client: self.client.to_owned(),
            time: Some(Time::from_micros(self.time).into()),
            dims: dims.map(|(key, value)| pb::Dim { key: key.to_owned(), value: value.to_owned() }).collect(),
            ..Default::default()
        }
    }
}

/// The same in every run: 34 days until the start, somebody seldom and somebody often, and nobody for a while.
fn sent(count: usize) -> Vec<Sent> {
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        // some often, some seldom
        let who = next(PEOPLE * PEOPLE).isqrt();
        let minute = long(next(34 * 1_440));
        let (client, plugin) = (["codex", "claude-code"][next(2)], PLUGINS[next(3)]);
        all.push(Sent { who, client, plugin, time: start() - minute * 60_000_000 - 1 });
    }
    all
}

async fn role_of(by: &Caller, id: &str, family: RoleFamily) {
    let new = role::Role { display_name: id.to_owned(), family: family.into(), ..Default::default() };
    let request = role::CreateRoleRequest {
        parent: world::ACME.to_owned(),
        role_id: id.to_owned(),
        role: Some(new),
        ..Default::default()
    };
    RoleServiceClient::new(by.channel.clone()).create_role(by.ask(request)).await.unwrap();
}

/// The people of the oracle, in `acme`.
async fn people(desk: &Desk) {
    let owner = &desk.world.owner;
    for unit in UNITS {
        staff::unit(owner, unit).await;
    }
    for (id, family) in ROLES {
        role_of(owner, id, family).await;
    }
    for who in 0..PEOPLE {
        let id = format!("p{who}");
        staff::user(owner, &id, UNITS[who % 2]).await;
        let one = Sent { who, client: "", plugin: "", time: 0 };
        if let Some((role, _)) = one.role() {
            staff::give(owner, role, &format!("principals/{id}")).await;
        }
    }
}

async fn send(desk: &Desk, sent: &[Sent], first: usize) {
    let events = sent.iter().enumerate().map(|(n, s)| s.event(first + n)).collect();
    let answers = ingest(desk, &desk.tenant, vec![events]).await.unwrap();
    assert!(answers[0].statuses.iter().all(|s| s.outcome() == pb::EventOutcome::Accepted), "{answers:?}");
}

async fn adoption(
    by: &Caller,
    request: pb::QueryAdoptionRequest,
) -> Result<pb::QueryAdoptionResponse, Status> {
    let parent = if request.parent.is_empty() { world::ACME.to_owned() } else { request.parent.clone() };
    let request = pb::QueryAdoptionRequest { parent, ..request };
    Ok(UsageServiceClient::new(by.channel.clone()).query_adoption(by.ask(request)).await?.into_inner())
}

async fn portfolio(
    by: &Caller,
    parent: &str,
    filter: &str,
) -> Result<pb::ListPortfolioAdoptionResponse, Status> {
    let request = pb::ListPortfolioAdoptionRequest {
        parent: parent.to_owned(),
        filter: filter.to_owned(),
        order_by: "tenant_id".to_owned(),
        ..Default::default()
    };
    Ok(UsageServiceClient::new(by.channel.clone())
        .list_portfolio_adoption(by.ask(request))
        .await?
        .into_inner())
}

fn micros(time: Option<prost_types::Timestamp>) -> i64 {
    Time::try_from(time.unwrap()).unwrap().micros()
}

fn named(row: &pb::AdoptionRow, by: AdoptionDimension) -> String {
    match by {
        AdoptionDimension::Unspecified => String::new(),
        AdoptionDimension::RoleFamily => row.role_family().as_str_name().to_owned(),
        AdoptionDimension::Role => row.role.clone(),
        AdoptionDimension::Unit => row.unit_name.clone(),
        AdoptionDimension::Plugin => row.plugin.clone(),
        AdoptionDimension::Client => row.client.clone(),
    }
}

/// What the rows of a period have to say, by group: active, share, growth, new, returning.
type Said = BTreeMap<(String, i64), (i64, i64, Option<i64>, i64, i64)>;

/// Plain counting, in the periods that begin at `starts` and end with the next; the first is only compared with.
fn counted(sent: &[Sent], starts: &[i64], by: AdoptionDimension) -> Said {
    let people = |from: i64, until: i64, group: Option<&str>| -> BTreeSet<usize> {
        let within = sent.iter().filter(|s| from <= s.time && s.time < until);
        within.filter(|s| group.is_none_or(|g| s.group(by) == g)).map(|s| s.who).collect()
    };
    let (first, last) = (starts[1], starts[starts.len() - 1]);
    let groups: BTreeSet<String> =
        sent.iter().filter(|s| first <= s.time && s.time < last).map(|s| s.group(by)).collect();
    let mut said = Said::new();
    for group in groups {
        for w in starts.windows(3) {
            let before = long(people(w[0], w[1], Some(&group)).len());
            let active = people(w[1], w[2], Some(&group));
            let all = long(people(w[1], w[2], None).len());
            let known = people(i64::MIN, w[1], None);
            let count = long(active.len());
            let returning = long(active.intersection(&known).count());
            let share = if all == 0 { 0 } else { count * 10_000 / all };
            let growth = (before > 0).then(|| (count - before) * 10_000 / before);
            said.insert((group.clone(), w[1]), (count, share, growth, count - returning, returning));
        }
    }
    said
}

/// The starts of the periods of an answer and the end of the last.
fn bounds(answer: &pb::QueryAdoptionResponse) -> Vec<i64> {
    let mut bounds: Vec<_> = answer.totals.iter().map(|row| micros(row.start_time)).collect();
    bounds.extend(answer.totals.last().map(|row| micros(row.end_time)));
    bounds
}

/// Asks every question, and compares each answer with what was counted.
async fn all_agree(desk: &Desk, sent: &[Sent]) {
    use AdoptionDimension::{Client, Plugin, Role, RoleFamily, Unit, Unspecified};
    for (window, zone) in [
        (AdoptionWindow::Week, ""),
        (AdoptionWindow::Week, "Europe/Berlin"),
        (AdoptionWindow::Week, "Asia/Kathmandu"),
        (AdoptionWindow::Month, "America/St_Johns"),
        (AdoptionWindow::Days28, "Australia/Lord_Howe"),
    ] {
        let ask = |periods: i32, by: AdoptionDimension| pb::QueryAdoptionRequest {
            window: window.into(),
            time_zone: zone.to_owned(),
            periods,
            group_by: by.into(),
            ..Default::default()
        };
        // one more, for the start of the period that the first is compared with
        let wide = adoption(&desk.world.owner, ask(4, Unspecified)).await.unwrap();
        assert_eq!(wide.rows, []);
        for by in [RoleFamily, Role, Unit, Plugin, Client] {
            let answer = adoption(&desk.world.owner, ask(3, by)).await.unwrap();
            assert_eq!(answer.totals, wide.totals[1..], "{window:?} {zone}");
            let said: Said = answer
                .rows
                .iter()
                .map(|row| {
                    let key = (named(row, by), micros(row.start_time));
                    let pb::AdoptionRow {
                        active_principals, share_basis_points, growth_basis_points, ..
                    } = row;
                    let told = (row.new_principals, row.returning_principals);
                    (key, (*active_principals, *share_basis_points, *growth_basis_points, told.0, told.1))
                })
                .collect();
            assert_eq!(said.len(), answer.rows.len(), "no row twice");
            assert_eq!(said, counted(sent, &bounds(&wide), by), "{window:?} {zone} {by:?}");
        }
        let totals = counted(sent, &bounds(&wide), Unspecified);
        for row in &wide.totals[1..] {
            let (active, _, growth, new, _) = totals[&(String::new(), micros(row.start_time))];
            let told = (row.active_principals, row.growth_basis_points, row.new_principals);
            assert_eq!(told, (active, growth, new));
            assert_eq!(row.share_basis_points, if active == 0 { 0 } else { 10_000 });
        }
        assert_eq!(
            wide.totals.iter().map(|row| row.partial).collect::<Vec<_>>(),
            [false, false, false, true]
        );
    }
}

both_engines! {
    async fn actives_are_what_plain_counting_says_before_and_after_they_are_rolled_up(site: Site) {
        let desk = Desk::open(site).await;
        people(&desk).await;
        let sent = sent(400);
        send(&desk, &sent, 0).await;
        all_agree(&desk, &sent).await;
        rolled_up(&desk).await;
        all_agree(&desk, &sent).await;
        let answer = adoption(&desk.world.owner, pb::QueryAdoptionRequest::default()).await.unwrap();
        assert_eq!((answer.totals.len(), answer.tail_events), (12, 0));
        assert!(answer.watermark_time.is_some() && answer.complete_through.is_some());
        // one half of the figures from rollups, the other from events
        let more: Vec<_> = (0..PEOPLE).map(|who| Sent { who, client: "codex", plugin: "late", time: start() - long(who) * DAY }).collect();
        send(&desk, &more, 400).await;
        all_agree(&desk, &[sent, more].concat()).await;
    }

    async fn weeks_begin_on_monday_where_the_caller_says_also_when_the_clocks_change(site: Site) {
        let desk = Desk::open(site).await;
        let berlin = pb::QueryAdoptionRequest { time_zone: "Europe/Berlin".to_owned(), periods: 5, ..Default::default() };
        let answer = adoption(&desk.world.owner, berlin).await.unwrap();
        let starts: Vec<_> = bounds(&answer).into_iter().map(|t| Time::from_micros(t).to_string()).collect();
        assert_eq!(starts[0], "2026-10-25T23:00:00.000000Z", "after the night with an hour more");
        assert_eq!(starts[4..], ["2026-11-22T23:00:00.000000Z", "2026-11-29T23:00:00.000000Z"]);
        let six = pb::QueryAdoptionRequest { time_zone: "Europe/Berlin".to_owned(), periods: 6, ..Default::default() };
        let answer = adoption(&desk.world.owner, six).await.unwrap();
        assert_eq!(Time::from_micros(bounds(&answer)[0]).to_string(), "2026-10-18T22:00:00.000000Z");
        assert!(answer.totals.iter().all(|row| row.active_principals == 0 && row.growth_basis_points.is_none()));
    }

    async fn usage_is_grouped_and_filtered_by_the_family_that_the_role_has_now(site: Site) {
        use RoleFamily::{Developer, NonDeveloper, Unspecified};
        let desk = Desk::open(site).await;
        people(&desk).await;
        let sent = sent(200);
        send(&desk, &sent, 0).await;
        let figures = async |filter: &str| {
            let request = pb::QueryUsageRequest {
                meters: vec!["active_principals".to_owned()],
                group_by: vec![pb::UsageDimension::RoleFamily.into()],
                filter: filter.to_owned(),
                ..Default::default()
            };
            let rows = query(&desk.world.owner, request).await.unwrap().rows;
            rows.iter().map(|r| (r.role_family(), r.value)).collect::<BTreeMap<_, _>>()
        };
        let count = |family: RoleFamily| {
            let of = |s: &&Sent| s.role().map_or(RoleFamily::Unspecified, |r| r.1) == family;
            long(sent.iter().filter(of).map(|s| s.who).collect::<BTreeSet<_>>().len())
        };
        let all = BTreeMap::from([Developer, NonDeveloper, Unspecified].map(|f| (f, count(f))));
        assert_eq!(figures("").await, all);
        rolled_up(&desk).await;
        assert_eq!(figures("").await, all);
        assert_eq!(figures("role_family = developer").await, BTreeMap::from([(Developer, count(Developer))]));
        assert_eq!(figures("role_family != DEVELOPER").await.len(), 2);
        let bad = pb::QueryUsageRequest { filter: "role_family = artist".to_owned(), ..Default::default() };
        assert_eq!(reason(&query(&desk.world.owner, bad).await.unwrap_err()), "INVALID_FILTER");
        // the figure drills down to its events
        let listed = async |filter: &str| {
            let owner = &desk.world.owner;
            let request = pb::ListUsageEventsRequest {
                parent: world::ACME.to_owned(), filter: filter.to_owned(), page_size: 1_000, ..Default::default()
            };
            UsageServiceClient::new(owner.channel.clone()).list_usage_events(owner.ask(request)).await.unwrap().into_inner().events
        };
        let plugin = |plugin: &str, family: RoleFamily| {
            sent.iter().filter(|s| s.plugin == plugin && s.role().is_some_and(|r| r.1 == family)).count()
        };
        assert_eq!(listed("role_family = developer AND plugin = kit").await.len(), plugin("kit", Developer));
        assert_eq!(listed("role_family = developer AND plugin = \"\"").await.len(), plugin("", Developer));
        let whom: BTreeSet<_> = listed("role_family = non_developer").await.into_iter().map(|e| e.principal).collect();
        assert_eq!(long(whom.len()), count(NonDeveloper));
        // the family is a property of the role now
        let owner = &desk.world.owner;
        let moved = role::Role { name: world::child(world::ACME, "roles", "guest"), family: Developer.into(), ..Default::default() };
        let request = role::UpdateRoleRequest { role: Some(moved), ..Default::default() };
        RoleServiceClient::new(owner.channel.clone()).update_role(owner.ask(request)).await.unwrap();
        let moved: BTreeSet<_> = sent.iter().filter(|s| s.role().is_some_and(|r| r.1 != NonDeveloper)).map(|s| s.who).collect();
        assert_eq!(figures("").await[&Developer], long(moved.len()));
    }

    async fn the_funnel_narrows_from_entitled_to_weekly_use_and_dormant_ones_are_listed(site: Site) {
        let desk = Desk::open(site).await;
        people(&desk).await;
        let (owner, admin) = (&desk.world.owner, &desk.world.admin);
        market::import(admin, &market::small(&["kit", "mail"])).await.unwrap();
        // tokens of the test's people are good for a day; this test takes a month
        let lasting = |id: &str, kind: TokenKind| token::Token {
            expire_time: Some(Time::from_micros(start() + 60 * DAY).into()),
            ..world::token_of(world::ACME, id, kind)
        };
        let sender = world::create_token(owner, world::ACME, lasting("", TokenKind::Ingest)).await.unwrap().secret;
        let laptop = world::create_token(owner, world::ACME, lasting("p8", TokenKind::Ingest)).await.unwrap().secret;
        let later = world::create_token(owner, world::ACME, lasting("owner", TokenKind::Personal)).await.unwrap().secret;
        let later = Caller { channel: owner.channel.clone(), secret: later };
        for (id, role, plugin) in [("r1", "backend", "kit"), ("r2", "banker", "kit"), ("r3", "banker", "mail")] {
            let target = format!("marketplaces/vendor/plugins/{plugin}");
            crate::decisions::create(owner, id, crate::decisions::rule(role, &target, Effect::Available)).await.unwrap();
        }
        // backend: p0 p4 p8; banker: p2 p6, and p10 holds no role
        let clock = &desk.world.site.running.kernel.clock;
        let use_of = async |id: &str, who: &str, plugin: &str| {
            let event = UsageEvent {
                id: id.to_owned(),
                source: "s".to_owned(),
                r#type: "t".to_owned(),
                subject: who.to_owned(),
                client: "codex".to_owned(),
                time: Some(clock.now().into()),
                dims: vec![pb::Dim { key: "plugin".to_owned(), value: plugin.to_owned() }],
                ..Default::default()
            };
            ingest(&desk, &sender, vec![vec![event]]).await.unwrap();
        };
        let ask = async || adoption(&later, pb::QueryAdoptionRequest::default()).await.unwrap();
        let stages = |a: &pb::QueryAdoptionResponse| {
            let f = a.funnel.unwrap();
            [f.entitled, f.installed, f.first_use, f.weekly_use]
        };
        assert_eq!((stages(&ask().await), ask().await.dormant_entitlements), ([5, 0, 0, 0], 7));
        use_of("a", "p0", "kit").await;
        // what somebody may not use, and use of no plugin, are no steps
        use_of("b", "p1", "kit").await;
        use_of("c", "p0", "mail").await;
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let loaded = json!({"timeUnixNano": (start() * 1_000).to_string(), "attributes": [
            text("event.name", "plugin_loaded"), text("session.id", "one"),
            text("plugin.name", "kit"), text("marketplace.name", "vendor"), text("plugin.version", "1.0.0"),
        ]});
        desk.send_all(&laptop, &[request("claude-code", &[loaded])]).await;
        assert_eq!(stages(&ask().await), [5, 2, 1, 1]);
        clock.advance(Duration::from_hours(24 * 3));
        use_of("d", "p2", "mail").await;
        let answer = ask().await;
        assert_eq!((stages(&answer), answer.dormant_entitlements), ([5, 3, 2, 2], 5));
        let first = answer.time_to_first_use.unwrap();
        assert_eq!((first.principals, first.p50_days, first.p90_days), (2, 0, 3));
        rolled_up(&desk).await;
        clock.advance(Duration::from_hours(24 * 5));
        let answer = ask().await;
        assert_eq!(stages(&answer), [5, 3, 2, 1], "p0 used it more than seven days ago");
        clock.advance(Duration::from_hours(24 * 20));
        let answer = ask().await;
        assert_eq!((stages(&answer), answer.dormant_entitlements), ([5, 3, 2, 0], 6));

        let list = async |filter: &str, order_by: &str, size: i32| {
            let (mut found, mut page_token) = (Vec::new(), String::new());
            loop {
                let request = pb::ListDormantEntitlementsRequest {
                    parent: world::ACME.to_owned(), filter: filter.to_owned(), order_by: order_by.to_owned(), page_size: size, page_token,
                };
                let page = UsageServiceClient::new(later.channel.clone()).list_dormant_entitlements(later.ask(request)).await.unwrap().into_inner();
                let last = |name: &str| name.rsplit('/').next().unwrap().to_owned();
                found.extend(page.dormant_entitlements.iter().map(|d| {
                    (format!("{} {}", last(&d.plugin), last(&d.principal)), d.installed_time.is_some(), d.last_use_day.map(|t| t.seconds * 1_000_000))
                }));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    return found;
                }
            }
        };
        let names = |found: &[(String, bool, Option<i64>)]| found.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
        let all = list("", "", 0).await;
        assert_eq!(names(&all), ["kit p0", "kit p2", "kit p4", "kit p6", "kit p8", "mail p6"]);
        assert_eq!(all[0], ("kit p0".to_owned(), false, Some(start() / DAY * DAY)));
        assert_eq!((all[4].1, all[4].2), (true, None));
        for size in [1, 4] {
            assert_eq!(list("", "", size).await, all);
            let turned = list("", "principal desc", size).await;
            assert_eq!(names(&turned), ["kit p8", "mail p6", "kit p6", "kit p4", "kit p2", "kit p0"]);
        }
        assert_eq!(names(&list("principal = p6 AND plugin : kit", "", 0).await), ["kit p6"]);
        assert_eq!(names(&list("NOT plugin = \"*kit\"", "", 0).await), ["mail p6"]);
    }

    async fn a_partner_sees_its_own_clients_and_their_weekly_actives_by_stage(site: Site) {
        let desk = Desk::open(site).await;
        people(&desk).await;
        let world = &desk.world;
        let sent = sent(300);
        send(&desk, &sent, 0).await;
        tests::world::tenant(&world.consultant, "zeta", world::NORTHWIND).await.unwrap();
        let monday = start() / DAY * DAY;
        let within = |from: i64, until: i64| sent.iter().filter(move |s| from <= s.time && s.time < until);
        let people = |all: Vec<&Sent>| long(all.iter().map(|s| s.who).collect::<BTreeSet<_>>().len());
        for by in [&world.consultant, &world.holders["partner_admin"], &world.admin] {
            let found = portfolio(by, world::NORTHWIND, "").await.unwrap().tenants;
            assert_eq!(found.iter().map(|t| t.tenant.as_str()).collect::<Vec<_>>(), ["tenants/acme", "tenants/zeta"]);
            let of = |family: RoleFamily| {
                people(within(monday, monday + 7 * DAY).filter(|s| s.role().is_some_and(|r| r.1 == family)).collect())
            };
            let acme = &found[0];
            let now = people(within(monday, monday + 7 * DAY).collect());
            let before = people(within(monday - 7 * DAY, monday).collect());
            assert_eq!((acme.stage.as_str(), acme.active_principals), ("PIPELINE", now));
            assert_eq!((acme.developers, acme.non_developers), (of(RoleFamily::Developer), of(RoleFamily::NonDeveloper)));
            assert_eq!(acme.growth_basis_points, Some((now - before) * 10_000 / before));
            assert_eq!((found[1].active_principals, found[1].growth_basis_points), (0, None));
        }
        let found = portfolio(&world.consultant, world::NORTHWIND, "tenant_id = zeta").await.unwrap().tenants;
        assert_eq!(found.len(), 1);
        let theirs = portfolio(&world.rival, "partners/contoso", "").await.unwrap().tenants;
        assert_eq!(theirs.iter().map(|t| t.tenant.as_str()).collect::<Vec<_>>(), ["tenants/globex"]);
        for (by, parent) in [(&world.rival, world::NORTHWIND), (&world.consultant, "partners/contoso"), (&world.owner, world::NORTHWIND)] {
            let refused = portfolio(by, parent, "").await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"), "{parent}");
        }
        // by stage, in the partner's own portfolio
        let request = proto::partner::v1::GetPortfolioRequest { name: world::NORTHWIND.to_owned() };
        let by = &world.consultant;
        let mut client = proto::partner::v1::partner_service_client::PartnerServiceClient::new(by.channel.clone());
        let stages = client.get_portfolio(by.ask(request)).await.unwrap().into_inner().stages;
        let week = people(within(monday - 6 * DAY, monday + DAY).collect());
        assert_eq!(stages.iter().map(|s| s.weekly_active_principals).collect::<Vec<_>>(), [week, 0, 0, 0, 0, 0]);
    }

    async fn questions_about_adoption_that_make_no_sense_or_are_not_ones_to_ask_are_refused(site: Site) {
        let desk = Desk::open(site).await;
        let good = pb::QueryAdoptionRequest::default;
        for (bad, field) in [
            (pb::QueryAdoptionRequest { parent: "acme".to_owned(), ..good() }, "parent"),
            (pb::QueryAdoptionRequest { window: 9, ..good() }, "window"),
            (pb::QueryAdoptionRequest { group_by: 9, ..good() }, "group_by"),
            (pb::QueryAdoptionRequest { periods: 61, ..good() }, "periods"),
            (pb::QueryAdoptionRequest { periods: -1, ..good() }, "periods"),
            (pb::QueryAdoptionRequest { time_zone: "Mars/Olympus".to_owned(), ..good() }, "time_zone"),
        ] {
            let refused = adoption(&desk.world.owner, bad).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{field}");
            let details = tonic_types::StatusExt::get_error_details(&refused);
            assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
        }
        for duty in ["admin", "finance", "owner", "consultant", "partner_admin", "platform_admin"] {
            adoption(&desk.world.holders[duty], good()).await.unwrap();
        }
        let refused = adoption(&desk.world.holders["member"], good()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "DUTY_MISSING"));
        let refused = adoption(&desk.world.stranger, good()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
    }
}
