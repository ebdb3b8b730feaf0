//! Small random tenants in which everything happens often.

use crate::{model::*, sample::Dice};

/// The moment around which windows begin and end.
pub const NOW: i64 = 1_795_000_000_000_000;
/// The moments that are asked about.
pub const MOMENTS: [i64; 5] = [NOW - 1, NOW, NOW + 1, NOW - 1_000_000, NOW + 1_000_000];

const PRINCIPALS: [&str; 5] = ["ann", "bob", "münir", "bot", "cron"];
const GROUPS: [&str; 3] = ["staff", "desk", "night desk"];
const ROLES: [&str; 4] = ["employee", "banker", "analyst", "intern"];
const MARKETS: [&str; 2] = ["codex", "own"];
const PLUGINS: [&str; 3] = ["codex/factset", "codex/git", "own/日報"];
const SETS: [&str; 2] = ["network", "dev"];
const POOLS: [&str; 2] = ["factset-seats", "lab"];
const APPS: [&str; 2] = ["search", "files"];
const SKILLS: [&str; 2] = ["search", "draft"];
const STAGES: [Stage; 10] = [
    Stage::Alpha,
    Stage::Preview,
    Stage::Preview,
    Stage::Live,
    Stage::Live,
    Stage::Live,
    Stage::Live,
    Stage::Deprecated,
    Stage::Deprecated,
    Stage::Withdrawn,
];

/// One of some.
pub fn pick<T: Clone>(dice: &mut Dice, from: &[T]) -> T {
    let at = dice.roll(u32::try_from(from.len()).unwrap());
    from[at as usize].clone()
}

/// Each of some, or not.
fn some(dice: &mut Dice, from: &[&str]) -> Vec<String> {
    from.iter().filter(|_| dice.once_in(3)).map(|one| (*one).to_owned()).collect()
}

pub fn principal(dice: &mut Dice, at: usize) -> Principal {
    let kind = match PRINCIPALS[at] {
        "bot" if dice.once_in(12) => {
            PrincipalKind::Agent { owner: pick(dice, &["bot", "cron", "nobody"]).to_owned() }
        }
        "bot" => PrincipalKind::Agent { owner: pick(dice, &["ann", "bob"]).to_owned() },
        "cron" => PrincipalKind::Service,
        _ => PrincipalKind::User,
    };
    Principal { id: PRINCIPALS[at].to_owned(), kind, suspended: dice.once_in(25) }
}

pub fn group(dice: &mut Dice, at: usize) -> Group {
    Group {
        id: GROUPS[at].to_owned(),
        principals: some(dice, &PRINCIPALS),
        groups: some(dice, &GROUPS[..at]),
    }
}

pub fn role(dice: &mut Dice, at: usize) -> Role {
    Role {
        id: ROLES[at].to_owned(),
        principals: some(dice, &PRINCIPALS),
        groups: some(dice, &GROUPS),
        includes: some(dice, &ROLES[..at]),
    }
}

pub fn plugin(dice: &mut Dice, at: usize) -> Plugin {
    Plugin {
        id: PLUGINS[at].to_owned(),
        marketplace: pick(dice, &MARKETS).to_owned(),
        stage: pick(dice, &STAGES),
        sunset: dice.once_in(12).then(|| pick(dice, &MOMENTS)),
        missing: if dice.once_in(20) { vec!["connector".to_owned()] } else { Vec::new() },
        apps: APPS.map(str::to_owned).to_vec(),
        skills: SKILLS.map(str::to_owned).to_vec(),
    }
}

pub fn plugin_group(dice: &mut Dice, at: usize) -> PluginGroup {
    PluginGroup { id: SETS[at].to_owned(), plugins: some(dice, &PLUGINS) }
}

pub fn pool(dice: &mut Dice, at: usize) -> SeatPool {
    SeatPool { id: POOLS[at].to_owned(), holders: some(dice, &PRINCIPALS) }
}

/// Something that can be asked for.
pub fn wanted(dice: &mut Dice) -> Target {
    let plugin = pick(dice, &PLUGINS).to_owned();
    match dice.roll(5) {
        0 => Target::App { plugin, app: pick(dice, &APPS).to_owned() },
        1 => Target::Skill { plugin, skill: pick(dice, &SKILLS).to_owned() },
        _ => Target::Plugin(plugin),
    }
}

/// A rule; six of seven allow, or little would be allowed at all.
pub fn rule(dice: &mut Dice, at: usize) -> Rule {
    let target = match dice.roll(4) {
        0 => Target::Marketplace(pick(dice, &MARKETS).to_owned()),
        1 => Target::PluginGroup(pick(dice, &SETS).to_owned()),
        _ => wanted(dice),
    };
    let effects =
        [Effect::Available, Effect::Available, Effect::Available, Effect::Default, Effect::Required];
    let effect = if dice.once_in(7) { Effect::Denied } else { pick(dice, &effects) };
    let edge = |dice: &mut Dice| dice.once_in(4).then(|| pick(dice, &MOMENTS));
    let (not_before, not_after) = (edge(dice), edge(dice));
    let not_after = not_after.filter(|until| not_before.is_none_or(|from| from < *until));
    Rule {
        id: format!("rule {at}"),
        tenant: pick(
            dice,
            &[None, Some("acme"), Some("acme"), Some("acme"), Some("acme"), Some("acme"), Some("other")],
        )
        .map(str::to_owned),
        role: (!dice.once_in(4)).then(|| pick(dice, &ROLES).to_owned()),
        target,
        effect,
        max_stage: pick(dice, &[MaxStage::Live, MaxStage::Preview, MaxStage::Alpha]),
        seat_pool: dice.once_in(6).then(|| pick(dice, &POOLS).to_owned()),
        not_before,
        not_after,
        level: pick(dice, &[Level::Ordinary, Level::Ordinary, Level::Floor, Level::Platform]),
        reason: format!("because of {at}"),
    }
}

/// A tenant of the whole variety.
pub fn facts(dice: &mut Dice) -> Facts {
    let rules = 4 + dice.roll(9) as usize;
    Facts {
        tenant: "acme".to_owned(),
        active: true,
        principals: (0..PRINCIPALS.len()).map(|at| principal(dice, at)).collect(),
        groups: (0..GROUPS.len()).map(|at| group(dice, at)).collect(),
        roles: (0..ROLES.len()).map(|at| role(dice, at)).collect(),
        plugins: (0..PLUGINS.len()).map(|at| plugin(dice, at)).collect(),
        plugin_groups: (0..SETS.len()).map(|at| plugin_group(dice, at)).collect(),
        seat_pools: (0..POOLS.len()).map(|at| pool(dice, at)).collect(),
        rules: (0..rules).map(|at| rule(dice, at)).collect(),
    }
}

/// Every question that these tenants have.
pub fn questions() -> impl Iterator<Item = (&'static str, Target<&'static str>)> {
    let targets = PLUGINS.into_iter().flat_map(|plugin| {
        let apps = APPS.map(|app| Target::App { plugin, app });
        let skills = SKILLS.map(|skill| Target::Skill { plugin, skill });
        [Target::Plugin(plugin)].into_iter().chain(apps).chain(skills)
    });
    targets.flat_map(|target| PRINCIPALS.map(|principal| (principal, target)))
}

/// One change of any kind, possibly one that cannot be.
pub fn change(dice: &mut Dice) -> Change {
    fn at(dice: &mut Dice, names: &[&str]) -> usize {
        dice.roll(u32::try_from(names.len()).unwrap()) as usize
    }
    if dice.once_in(3) {
        return removal(dice);
    }
    match dice.roll(16) {
        0 => Change::Active(!dice.once_in(3)),
        1 | 2 => {
            let at = at(dice, &PRINCIPALS);
            Change::PutPrincipal(principal(dice, at))
        }
        3 | 4 => {
            let at = at(dice, &GROUPS);
            Change::PutGroup(group(dice, at))
        }
        5 | 6 => {
            let at = at(dice, &ROLES);
            Change::PutRole(role(dice, at))
        }
        7 | 8 => {
            let at = at(dice, &PLUGINS);
            let mut plugin = plugin(dice, at);
            plugin.apps.retain(|_| !dice.once_in(4));
            Change::PutPlugin(plugin)
        }
        9 | 10 => {
            let at = at(dice, &SETS);
            Change::PutPluginGroup(plugin_group(dice, at))
        }
        11 => {
            let at = at(dice, &POOLS);
            Change::PutSeatPool(pool(dice, at))
        }
        _ => {
            let at = dice.roll(12) as usize;
            Change::PutRule(rule(dice, at))
        }
    }
}

fn removal(dice: &mut Dice) -> Change {
    let mut one = |names: &[&str]| pick(dice, names).to_owned();
    let removals = [
        Change::RemovePrincipal(one(&PRINCIPALS)),
        Change::RemoveGroup(one(&GROUPS)),
        Change::RemoveRole(one(&ROLES)),
        Change::RemovePlugin(one(&PLUGINS)),
        Change::RemovePluginGroup(one(&SETS)),
        Change::RemoveSeatPool(one(&POOLS)),
    ];
    let rule = Change::RemoveRule(format!("rule {}", dice.roll(12)));
    if dice.once_in(3) { pick(dice, &removals) } else { rule }
}
