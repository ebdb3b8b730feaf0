//! Facts of any size, made the same way every time.
//!
//! A tenant as they are: most roles come by groups, some roles include others, most rules are about one plugin, a few
//! about an app, a skill, a plugin group or a marketplace; one in ten forbids, one in twenty has a window, one in fifty
//! asks for a seat.

use crate::model::{
    Effect, Facts, Group, Level, MaxStage, Plugin, PluginGroup, Principal, PrincipalKind, Role, Rule,
    SeatPool, Stage, Target,
};

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rules, of all roles together.
    pub rules: u32,
    /// Principals; one in twenty is an agent of another.
    pub principals: u32,
    /// Roles.
    pub roles: u32,
    /// Plugins, each with two apps and three skills.
    pub plugins: u32,
}

/// A moment at which most windows are open, in microseconds since 1970.
pub const NOW: i64 = 1_795_000_000_000_000;

const DAY: i64 = 86_400_000_000;

impl Size {
    /// Of a tenant with this many rules: a hundred a role, 1,000 plugins, 10,000 principals; less of each with few
    /// rules.
    pub fn of(rules: u32) -> Self {
        Self {
            rules,
            principals: rules.clamp(100, 10_000),
            roles: rules.div_ceil(100).max(10),
            plugins: rules.clamp(50, 1_000),
        }
    }
}

/// A source of numbers that are the same every time (xorshift64*). Nothing secret may come of it.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`; 0 for none.
    pub fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from((high * u64::from(sides)) >> 32).unwrap_or_default()
    }

    /// True once in `sides` times.
    pub fn once_in(&mut self, sides: u32) -> bool {
        self.roll(sides) == 0
    }
}

/// The id of a principal.
pub fn principal(at: u32) -> String {
    format!("principal-{at}")
}

/// The id of a plugin.
pub fn plugin(at: u32) -> String {
    format!("market-{}/plugin-{at}", at % 3)
}

/// The id of a role.
pub fn role(at: u32) -> String {
    format!("role-{at}")
}

/// Facts of that size.
pub fn facts(size: Size) -> Facts {
    let mut dice = Dice::new(7);
    Facts {
        tenant: "acme".to_owned(),
        active: true,
        principals: principals(size),
        groups: groups(size),
        roles: roles(size, &mut dice),
        plugins: plugins(size),
        plugin_groups: plugin_groups(size),
        seat_pools: (0..4).map(|at| pool(at, size)).collect(),
        rules: (0..size.rules).map(|at| rule(at, size, &mut dice)).collect(),
    }
}

fn principals(size: Size) -> Vec<Principal> {
    let kind = |at: u32| match at % 20 {
        19 => PrincipalKind::Agent { owner: principal(at - 1) },
        7 => PrincipalKind::Service,
        _ => PrincipalKind::User,
    };
    (0..size.principals)
        .map(|at| Principal { id: principal(at), kind: kind(at), suspended: at % 97 == 96 })
        .collect()
}

/// One group for fifty principals; every tenth contains the one before.
fn groups(size: Size) -> Vec<Group> {
    let count = size.principals.div_ceil(50);
    let members = |at: u32| (0..50).map(move |n| (at * 50 + n * 7 * (1 + at % 3)) % size.principals);
    let group = |at: u32| Group {
        id: format!("group-{at}"),
        principals: members(at).map(principal).collect(),
        groups: if at % 10 == 9 { vec![format!("group-{}", at - 1)] } else { Vec::new() },
    };
    (0..count).map(group).collect()
}

/// Each role is held by some groups and a few principals; every fifth includes the one before.
fn roles(size: Size, dice: &mut Dice) -> Vec<Role> {
    let groups = size.principals.div_ceil(50);
    let mut role = |at: u32| Role {
        id: role(at),
        principals: (0..2).map(|_| principal(dice.roll(size.principals))).collect(),
        groups: (0..=groups * 4 / size.roles.max(1))
            .map(|_| format!("group-{}", dice.roll(groups)))
            .collect(),
        includes: if at % 5 == 4 { vec![self::role(at - 1)] } else { Vec::new() },
    };
    (0..size.roles).map(&mut role).collect()
}

fn plugins(size: Size) -> Vec<Plugin> {
    let stage = |at: u32| match at % 20 {
        17 => Stage::Alpha,
        16 | 18 => Stage::Preview,
        19 => Stage::Deprecated,
        _ if at % 200 == 100 => Stage::Withdrawn,
        _ => Stage::Live,
    };
    let made = |at: u32| Plugin {
        id: plugin(at),
        marketplace: format!("market-{}", at % 3),
        stage: stage(at),
        sunset: None,
        missing: if at % 50 == 25 { vec!["search".to_owned()] } else { Vec::new() },
        apps: vec!["search".to_owned(), "files".to_owned()],
        skills: ["draft", "review", "report"].map(str::to_owned).to_vec(),
    };
    (0..size.plugins).map(made).collect()
}

/// One group for twenty plugins.
fn plugin_groups(size: Size) -> Vec<PluginGroup> {
    let members = |at: u32| (0..20).map(move |n| (at * 20 + n * 3) % size.plugins);
    let group = |at: u32| PluginGroup { id: format!("set-{at}"), plugins: members(at).map(plugin).collect() };
    (0..size.plugins.div_ceil(20)).map(group).collect()
}

fn pool(at: u32, size: Size) -> SeatPool {
    let holders = (0..size.principals).filter(|p| p % 8 == at).map(principal);
    SeatPool { id: format!("pool-{at}"), holders: holders.collect() }
}

/// The rule of that number.
pub fn rule(at: u32, size: Size, dice: &mut Dice) -> Rule {
    let one = plugin(dice.roll(size.plugins));
    let target = match dice.roll(200) {
        0 => Target::Marketplace(format!("market-{}", dice.roll(3))),
        1..=4 => Target::PluginGroup(format!("set-{}", dice.roll(size.plugins.div_ceil(20)))),
        5..=10 => Target::App { plugin: one, app: "search".to_owned() },
        11..=16 => Target::Skill { plugin: one, skill: "report".to_owned() },
        _ => Target::Plugin(one),
    };
    let effect = match dice.roll(20) {
        0 | 1 => Effect::Denied,
        2 | 3 => Effect::Required,
        4..=7 => Effect::Default,
        _ => Effect::Available,
    };
    let windowed = dice.once_in(20);
    Rule {
        id: format!("e-{at:010x}"),
        tenant: None,
        role: (!dice.once_in(1_000)).then(|| role(dice.roll(size.roles))),
        target,
        effect,
        max_stage: *[MaxStage::Live, MaxStage::Live, MaxStage::Preview, MaxStage::Alpha]
            .get(dice.roll(4) as usize)
            .unwrap_or(&MaxStage::Live),
        seat_pool: dice.once_in(50).then(|| format!("pool-{}", dice.roll(4))),
        not_before: windowed.then(|| NOW - i64::from(dice.roll(300)) * DAY + 3 * DAY),
        not_after: windowed.then(|| NOW + i64::from(dice.roll(300)) * DAY + 4 * DAY),
        level: if dice.once_in(50) { Level::Floor } else { Level::Ordinary },
        reason: if dice.once_in(4) { "agreed with compliance".to_owned() } else { String::new() },
    }
}
