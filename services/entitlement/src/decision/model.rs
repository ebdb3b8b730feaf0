//! What is asked and what is answered, without any I/O.

use ::decision::{Effect, Plugin, Reason, Target};
use kernel::{
    Error, Result,
    clock::Time,
    ids::{Slug, clip},
    name,
};

use super::live::Loaded;
use crate::{
    entitlement::model::{self as entitlement, Part},
    plugin_group,
};

/// What is asked for: a plugin, or one of its apps or skills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted(Target);

impl Wanted {
    /// From `marketplaces/{m}/plugins/{p}`, `…/apps/{key}` or `…/skills/{skill}`. Vendors choose the keys of parts: any
    /// text but `/`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let forms = "`marketplaces/…/plugins/…`, with `/apps/…` or `/skills/…` for a part of it";
        let wrong = || Error::invalid(field, format!("`{}` is not a name of the form {forms}", clip(text)));
        let mut at_plugin = text.match_indices('/').skip(3).map(|(at, _)| at);
        let (plugin, part) = match at_plugin.next() {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let [marketplace, slug] =
            name::parse(field, "marketplaces/{}/plugins/{}", plugin).map_err(|_| wrong())?;
        let plugin = format!("{marketplace}/{slug}");
        let key =
            |key: &str| (!key.is_empty() && !key.contains('/')).then(|| key.to_owned()).ok_or_else(wrong);
        let target = match (part, part.strip_prefix("/apps/"), part.strip_prefix("/skills/")) {
            ("", _, _) => Target::Plugin(plugin),
            (_, Some(app), _) => Target::App { plugin, app: key(app)? },
            (_, _, Some(skill)) => Target::Skill { plugin, skill: key(skill)? },
            _ => return Err(wrong()),
        };
        Ok(Self(target))
    }

    /// From what the engine is asked; none for what can have no name here.
    pub fn of(target: Target<&str>) -> Option<Self> {
        let (plugin, part) = match target {
            Target::Plugin(plugin) => (plugin, String::new()),
            Target::App { plugin, app } => (plugin, format!("/apps/{app}")),
            Target::Skill { plugin, skill } => (plugin, format!("/skills/{skill}")),
            Target::Marketplace(_) | Target::PluginGroup(_) => return None,
        };
        Self::parse("plugin", &format!("{}{part}", plugin_name(plugin))).ok()
    }

    /// Name of the plugin that it is, or is part of.
    pub fn plugin_name(&self) -> String {
        match &self.0 {
            Target::Plugin(plugin) | Target::App { plugin, .. } | Target::Skill { plugin, .. } => {
                plugin_name(plugin)
            }
            Target::Marketplace(id) | Target::PluginGroup(id) => id.clone(),
        }
    }

    /// Whether it is `plugin`, or one of its parts.
    pub fn is_in(&self, plugin: &Plugin) -> bool {
        match &self.0 {
            Target::Plugin(id) => *id == plugin.id,
            Target::App { plugin: id, app } => *id == plugin.id && plugin.apps.contains(app),
            Target::Skill { plugin: id, skill } => *id == plugin.id && plugin.skills.contains(skill),
            Target::Marketplace(_) | Target::PluginGroup(_) => false,
        }
    }

    /// What of the plugin it is.
    pub fn part(&self) -> Part {
        match &self.0 {
            Target::App { app, .. } => Part::App(app.clone()),
            Target::Skill { skill, .. } => Part::Skill(skill.clone()),
            Target::Plugin(_) | Target::Marketplace(_) | Target::PluginGroup(_) => Part::Whole,
        }
    }

    /// As the engine keeps it.
    pub fn into_target(self) -> Target {
        self.0
    }

    /// As the engine is asked.
    pub fn target(&self) -> Target<&str> {
        self.0.as_ref()
    }
}

/// The resource name of what the engine calls `target`, in a tenant.
pub fn target_name(tenant: &Slug, target: Target<&str>) -> String {
    match target {
        Target::Marketplace(id) => format!("marketplaces/{id}"),
        Target::PluginGroup(id) => plugin_group::model::name(tenant, id),
        Target::Plugin(id) => plugin_name(id),
        Target::App { plugin, app } => format!("{}/apps/{app}", plugin_name(plugin)),
        Target::Skill { plugin, skill } => format!("{}/skills/{skill}", plugin_name(plugin)),
    }
}

/// The resource name of the plugin that the engine calls `{marketplace}/{plugin}`.
pub fn plugin_name(id: &str) -> String {
    match id.split_once('/') {
        Some((marketplace, plugin)) => format!("marketplaces/{marketplace}/plugins/{plugin}"),
        None => id.to_owned(),
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The strongest effect among the rules that allow; DENIED when a rule forbids.
    pub effect: Option<Effect>,
    /// Names of the entitlements that decided, or that come closest to allowing.
    pub entitlements: Vec<String>,
    /// When it was decided.
    pub decide_time: Time,
    /// By which revision of the rules; empty when they could not be read.
    pub revision_token: String,
}

impl Decision {
    /// Decides by what is loaded.
    pub fn make(tenant: &Slug, loaded: &Loaded, who: &Slug, wanted: &Wanted, now: Time) -> Self {
        let (decision, rules) = loaded.snapshot.decide_by(who.as_str(), wanted.target(), now.micros());
        Self {
            allowed: decision.allowed,
            reason: decision.reason,
            effect: decision.effect,
            entitlements: rules.into_iter().map(|rule| entitlement::name(tenant, rule)).collect(),
            decide_time: now,
            revision_token: loaded.token.clone(),
        }
    }

    /// The answer where the rules could not be read.
    pub fn unavailable(now: Time) -> Self {
        let decision = ::decision::Decision::unavailable();
        Self {
            allowed: decision.allowed,
            reason: decision.reason,
            effect: decision.effect,
            entitlements: Vec::new(),
            decide_time: now,
            revision_token: String::new(),
        }
    }
}

/// A plugin that a principal may use, with the parts of it that it may use too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsablePlugin {
    /// Its name.
    pub plugin: String,
    /// What the client does with it.
    pub effect: Effect,
    /// Keys of its apps.
    pub apps: Vec<String>,
    /// Its skills.
    pub skills: Vec<String>,
}

/// Everything that a principal may use, by name.
pub fn usable(loaded: &Loaded, who: &Slug, now: Time) -> Vec<UsablePlugin> {
    let (snapshot, now) = (&loaded.snapshot, now.micros());
    let mut plugins: Vec<_> = snapshot
        .usable(who.as_str(), now)
        .into_iter()
        .map(|usable| {
            let (mut apps, mut skills) = (Vec::new(), Vec::new());
            for part in snapshot.usable_parts(who.as_str(), usable.plugin, now) {
                match part {
                    Target::App { app, .. } => apps.push(app.to_owned()),
                    Target::Skill { skill, .. } => skills.push(skill.to_owned()),
                    Target::Marketplace(_) | Target::PluginGroup(_) | Target::Plugin(_) => {}
                }
            }
            apps.sort_unstable();
            skills.sort_unstable();
            UsablePlugin { plugin: plugin_name(usable.plugin), effect: usable.effect, apps, skills }
        })
        .collect();
    plugins.sort_unstable_by(|a, b| a.plugin.cmp(&b.plugin));
    plugins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_apps_and_skills_are_asked_for_by_name() {
        let (acme, kit) = (Slug::parse("tenant", "acme").unwrap(), "marketplaces/codex/plugins/kit");
        let parsed = |text: &str| Wanted::parse("plugin", text);
        assert_eq!(parsed(kit).unwrap().target(), Target::Plugin("codex/kit"));
        let app = parsed(&format!("{kit}/apps/Fact Set.v2")).unwrap();
        assert_eq!(app.target(), Target::App { plugin: "codex/kit", app: "Fact Set.v2" });
        let skill = parsed(&format!("{kit}/skills/größe")).unwrap();
        assert_eq!(skill.target(), Target::Skill { plugin: "codex/kit", skill: "größe" });
        for wanted in [app, skill, parsed(kit).unwrap()] {
            assert_eq!(parsed(&target_name(&acme, wanted.target())).unwrap(), wanted);
            assert_eq!(Wanted::of(wanted.target()), Some(wanted));
        }
        let bad =
            ["", "kit", "marketplaces/codex", "marketplaces//plugins/kit", "marketplaces/codex/plugins/"];
        let parts = ["/", "/apps", "/apps/", "/skills/", "/hooks/a", "/apps/a/b", "//apps/a"];
        let parts = parts.map(|part| format!("{kit}{part}"));
        for text in bad.into_iter().chain(parts.iter().map(String::as_str)) {
            assert!(matches!(parsed(text), Err(Error::Invalid(_))), "{text}");
        }
        for target in [
            Target::Plugin("kit"),
            Target::Plugin("codex/größe"),
            Target::App { plugin: "codex/kit", app: "a/b" },
            Target::Marketplace("codex"),
        ] {
            assert_eq!(Wanted::of(target), None, "{target:?}");
        }
    }
}
