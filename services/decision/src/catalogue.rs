//! What can be asked for, and what rules can speak of.

use hashbrown::HashMap;

use crate::{
    error::{CompileError, Kind, Result},
    model::{Plugin, PluginGroup, Stage, Target},
    mutant::{Mutant, mutated},
    names::{Names, Registry, number},
};

#[derive(Clone, Debug)]
pub(crate) struct PluginFact {
    pub market: u32,
    pub stage: Stage,
    /// From when it counts as withdrawn.
    sunset: Option<i64>,
    pub missing: Box<[String]>,
    pub parts: Box<[u32]>,
    /// Groups that it is in.
    pub groups: Box<[u32]>,
}

/// An app or a skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PartKind {
    App,
    Skill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PartId {
    plugin: u32,
    kind: PartKind,
    name: u32,
}

#[derive(Clone, Debug)]
struct Part {
    id: PartId,
    /// Whether its plugin has it now.
    there: bool,
}

/// What a rule speaks of, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    Market(u32),
    Group(u32),
    Plugin(u32),
    Part(u32),
}

/// What is asked for, found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'c> {
    pub plugin: u32,
    pub part: Option<u32>,
    pub fact: &'c PluginFact,
}

#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    pub plugins: Registry<PluginFact>,
    pub groups: Registry<Box<[u32]>>,
    /// Plugins that each marketplace lists. One that lists none may still be spoken of.
    markets: Registry<Vec<u32>>,
    names: Names,
    ids: HashMap<PartId, u32>,
    parts: Vec<Part>,
}

impl Catalogue {
    pub fn new() -> Self {
        Self {
            plugins: Registry::new(Kind::Plugin),
            groups: Registry::new(Kind::PluginGroup),
            markets: Registry::new(Kind::Marketplace),
            names: Names::default(),
            ids: HashMap::new(),
            parts: Vec::new(),
        }
    }

    pub fn put_plugin(&mut self, plugin: &Plugin) -> Result<()> {
        let at = self.plugins.number(&plugin.id)?;
        let market = self.markets.number(&plugin.marketplace)?;
        self.empty(at);
        let apps = plugin.apps.iter().map(|app| (PartKind::App, app));
        let skills = plugin.skills.iter().map(|skill| (PartKind::Skill, skill));
        let parts = apps.chain(skills).map(|(kind, name)| self.part(at, kind, name));
        let parts = parts.collect::<Result<Box<[_]>>>()?;
        for &part in &parts {
            if let Some(part) = self.parts.get_mut(part as usize) {
                part.there = true;
            }
        }
        let missing = plugin.missing.clone().into();
        let (stage, sunset) = (plugin.stage, plugin.sunset);
        let fact = PluginFact { market, stage, sunset, missing, parts, groups: Box::default() };
        self.plugins.put(at, fact);
        Ok(())
    }

    /// Takes a plugin out, and what it has with it.
    pub fn remove_plugin(&mut self, id: &str) {
        if let Some((at, _)) = self.plugins.find(id) {
            self.empty(at);
            self.plugins.remove(id);
        }
    }

    fn empty(&mut self, plugin: u32) {
        let parts = self.plugins.get(plugin).map_or(&[][..], |fact| &fact.parts);
        for &part in parts {
            if let Some(part) = self.parts.get_mut(part as usize) {
                part.there = false;
            }
        }
    }

    pub fn put_group(&mut self, group: &PluginGroup) -> Result<()> {
        let plugins = self.plugins.numbers(&group.plugins)?;
        let at = self.groups.number(&group.id)?;
        self.groups.put(at, plugins);
        Ok(())
    }

    /// The number of a part, whether or not its plugin has it.
    fn part(&mut self, plugin: u32, kind: PartKind, name: &str) -> Result<u32> {
        if name.is_empty() {
            return Err(CompileError::Empty(kind.into()));
        }
        let id = PartId { plugin, kind, name: self.names.intern(kind.into(), name)? };
        if let Some(&at) = self.ids.get(&id) {
            return Ok(at);
        }
        let at = number(kind.into(), self.parts.len())?;
        self.parts.push(Part { id, there: false });
        self.ids.insert(id, at);
        Ok(at)
    }

    /// The number of what a rule speaks of, whether or not it is there.
    pub fn scope(&mut self, target: &Target) -> Result<Scope> {
        Ok(match target {
            Target::Marketplace(id) => Scope::Market(self.markets.number(id)?),
            Target::PluginGroup(id) => Scope::Group(self.groups.number(id)?),
            Target::Plugin(id) => Scope::Plugin(self.plugins.number(id)?),
            Target::App { plugin, app: name } => {
                let plugin = self.plugins.number(plugin)?;
                Scope::Part(self.part(plugin, PartKind::App, name)?)
            }
            Target::Skill { plugin, skill: name } => {
                let plugin = self.plugins.number(plugin)?;
                Scope::Part(self.part(plugin, PartKind::Skill, name)?)
            }
        })
    }

    /// The same of what has a number.
    pub fn lookup(&self, target: Target<&str>) -> Option<Scope> {
        let part = |plugin, kind, name| {
            let id = PartId { plugin: self.plugins.lookup(plugin)?, kind, name: self.names.get(name)? };
            self.ids.get(&id).copied().map(Scope::Part)
        };
        match target {
            Target::Marketplace(id) => self.markets.lookup(id).map(Scope::Market),
            Target::PluginGroup(id) => self.groups.lookup(id).map(Scope::Group),
            Target::Plugin(id) => self.plugins.lookup(id).map(Scope::Plugin),
            Target::App { plugin, app } => part(plugin, PartKind::App, app),
            Target::Skill { plugin, skill } => part(plugin, PartKind::Skill, skill),
        }
    }

    /// Whether a scope is there.
    pub fn has(&self, scope: Scope) -> bool {
        match scope {
            Scope::Market(_) => true,
            Scope::Group(at) => self.groups.get(at).is_some(),
            Scope::Plugin(at) => self.plugins.get(at).is_some(),
            Scope::Part(at) => self.parts.get(at as usize).is_some_and(|part| part.there),
        }
    }

    /// Refuses a scope of `rule` that is not there.
    pub fn known(&self, scope: Scope, rule: &str) -> Result<()> {
        match scope {
            Scope::Market(_) => Ok(()),
            Scope::Group(at) => self.groups.known(at, Kind::Rule, rule),
            Scope::Plugin(at) => self.plugins.known(at, Kind::Rule, rule),
            Scope::Part(at) => {
                let Some(part) = self.parts.get(at as usize) else { return Ok(()) };
                self.plugins.known(part.id.plugin, Kind::Rule, rule)?;
                if part.there {
                    return Ok(());
                }
                let id = format!("{}/{}", self.plugins.name(part.id.plugin), self.names.name(part.id.name));
                Err(CompileError::Unknown {
                    kind: part.id.kind.into(),
                    id,
                    by: format!("{} `{rule}`", Kind::Rule),
                })
            }
        }
    }

    /// What is asked for, if it is there.
    #[inline]
    pub fn entry(&self, target: Target<&str>) -> Option<Entry<'_>> {
        let (plugin, part) = match target {
            Target::Plugin(plugin) => (plugin, None),
            Target::App { plugin, app } => (plugin, Some((PartKind::App, app))),
            Target::Skill { plugin, skill } => (plugin, Some((PartKind::Skill, skill))),
            Target::Marketplace(_) | Target::PluginGroup(_) => return None,
        };
        let (plugin, fact) = self.plugins.find(plugin)?;
        let part = match part {
            None => None,
            Some((kind, name)) => {
                let id = PartId { plugin, kind, name: self.names.get(name)? };
                let at = *self.ids.get(&id)?;
                Some(self.parts.get(at as usize).filter(|part| part.there).map(|_| at)?)
            }
        };
        Some(Entry { plugin, part, fact })
    }

    /// The plugins that a marketplace or a plugin group stands for.
    pub fn plugins_of(&self, scope: Scope) -> &[u32] {
        match scope {
            Scope::Market(at) => self.markets.get(at).map_or(&[], Vec::as_slice),
            Scope::Group(at) => self.groups.get(at).map_or(&[], |plugins| plugins),
            Scope::Plugin(_) | Scope::Part(_) => &[],
        }
    }

    /// The id of a marketplace.
    pub fn market_name(&self, at: u32) -> &str {
        self.markets.name(at)
    }

    /// A scope in words.
    pub fn target(&self, scope: Scope) -> Target<&str> {
        match scope {
            Scope::Market(at) => Target::Marketplace(self.markets.name(at)),
            Scope::Group(at) => Target::PluginGroup(self.groups.name(at)),
            Scope::Plugin(at) => Target::Plugin(self.plugins.name(at)),
            Scope::Part(at) => {
                let Some(Part { id, .. }) = self.parts.get(at as usize) else { return Target::Plugin("") };
                let (plugin, name) = (self.plugins.name(id.plugin), self.names.name(id.name));
                match id.kind {
                    PartKind::App => Target::App { plugin, app: name },
                    PartKind::Skill => Target::Skill { plugin, skill: name },
                }
            }
        }
    }

    /// Checks all of it and works out what lists what.
    pub fn settle(&mut self) -> Result<()> {
        for at in 0..u32::try_from(self.markets.len()).unwrap_or(u32::MAX) {
            self.markets.put(at, Vec::new());
        }
        for (at, fact) in self.plugins.iter_mut() {
            fact.groups = Box::default();
            if let Some(listed) = self.markets.get_mut(fact.market) {
                listed.push(at);
            }
        }
        for (at, plugins) in self.groups.iter() {
            self.plugins.all_known(plugins, Kind::PluginGroup, self.groups.name(at))?;
        }
        let pairs = self.groups.iter().flat_map(|(group, plugins)| plugins.iter().map(move |&p| (p, group)));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        for groups in pairs.chunk_by(|(left, _), (right, _)| left == right) {
            let Some((plugin, _)) = groups.first() else { continue };
            if let Some(fact) = self.plugins.get_mut(*plugin) {
                fact.groups = groups.iter().map(|(_, group)| *group).collect();
            }
        }
        Ok(())
    }

    /// Plugins that belong to other marketplaces or groups than they did in `before`, those that came and went included.
    pub fn moved(&self, before: &Self) -> Vec<u32> {
        fn belongs(catalogue: &Catalogue, plugin: u32) -> Option<(u32, &[u32])> {
            catalogue.plugins.get(plugin).map(|fact| (fact.market, &*fact.groups))
        }
        let all = 0..u32::try_from(self.plugins.len()).unwrap_or(u32::MAX);
        all.filter(|&at| belongs(self, at) != belongs(before, at)).collect()
    }

    /// What rules can speak of and thereby of all of a plugin.
    pub fn cover(&self, plugin: u32) -> impl Iterator<Item = Scope> {
        let entry = self.plugins.get(plugin).map(|fact| Entry { plugin, part: None, fact });
        entry.into_iter().flat_map(Entry::cover)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let plugins = self.plugins.iter().map(|(_, fact)| {
            let missing = size_of_val(&*fact.missing) + fact.missing.iter().map(String::len).sum::<usize>();
            missing + size_of_val(&*fact.parts) + size_of_val(&*fact.groups)
        });
        let groups = self.groups.iter().map(|(_, plugins)| size_of_val(&**plugins));
        let markets = self.markets.iter().map(|(_, plugins)| 4 * plugins.capacity());
        let registries =
            [self.plugins.bytes(), self.groups.bytes(), self.markets.bytes(), self.names.bytes()];
        let parts = self.ids.allocation_size() + self.parts.capacity() * size_of::<Part>();
        registries.into_iter().chain(plugins).chain(groups).chain(markets).sum::<usize>() + parts
    }
}

impl PluginFact {
    /// Its stage at `now`.
    #[inline]
    pub fn stage(&self, now: i64) -> Stage {
        let over = self.sunset.is_some_and(|sunset| now >= sunset) && !mutated(Mutant::Sunset);
        if over { Stage::Withdrawn } else { self.stage }
    }

    /// When its stage changes by itself.
    pub fn sunset(&self) -> Option<i64> {
        self.sunset
    }

    /// The same, released for everybody.
    pub fn restored(&self) -> Self {
        Self { stage: Stage::Live, sunset: None, ..self.clone() }
    }
}

impl<'c> Entry<'c> {
    /// Everything that rules can speak of and thereby of this.
    pub fn cover(self) -> impl Iterator<Item = Scope> + use<'c> {
        let own = [Scope::Plugin(self.plugin), Scope::Market(self.fact.market)];
        let groups = self.fact.groups.iter().map(|&group| Scope::Group(group));
        self.part.map(Scope::Part).into_iter().chain(own).chain(groups)
    }
}

impl From<PartKind> for Kind {
    fn from(kind: PartKind) -> Self {
        match kind {
            PartKind::App => Self::App,
            PartKind::Skill => Self::Skill,
        }
    }
}
