//! A tenant's rules as a file, there and back.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use proto::{
    catalog::v1::Stage,
    entitlement::v1::{
        DiffPoliciesRequest, DiffPoliciesResponse, Effect, Entitlement, ListEntitlementsRequest,
        RuleChangeKind,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    client,
    preview::{Terms, short, show},
};
use crate::{
    app::App,
    args::time,
    client::Repeat,
    error::{Error, Exit, Result},
    names::{beside, target},
    output::{Answer, Format, clean, encode, reflect},
};

/// Another set of rules.
#[derive(Args, Debug)]
pub struct Diff {
    /// A file as `policy export` prints it; `-` reads standard input
    file: PathBuf,
    #[command(flatten)]
    terms: Terms,
}

/// The file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Rule>,
}

/// A rule as people write it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    /// A role of the tenant, or `*`.
    role: String,
    /// `MARKETPLACE`, `MARKETPLACE/PLUGIN`, `…/apps/KEY`, `…/skills/SKILL`, `plugin-group:ID`.
    target: String,
    effect: EffectWord,
    #[serde(default)]
    max_stage: StageWord,
    /// The pool of which a seat must be held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seat_pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    floor: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EffectWord {
    Denied,
    Available,
    Default,
    Required,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StageWord {
    Alpha,
    Preview,
    #[default]
    Live,
}

impl Rule {
    fn of(rule: &Entitlement) -> Result<Self> {
        let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let effect = match rule.effect() {
            Effect::Denied => EffectWord::Denied,
            Effect::Available => EffectWord::Available,
            Effect::Default => EffectWord::Default,
            Effect::Required => EffectWord::Required,
            Effect::Unspecified => {
                let message = format!(
                    "`{}` has an effect that this build does not know; install a newer one",
                    rule.name
                );
                return Err(Error::Local(message));
            }
        };
        let max_stage = match rule.max_stage() {
            Stage::Alpha => StageWord::Alpha,
            Stage::Preview => StageWord::Preview,
            _ => StageWord::Live,
        };
        Ok(Self {
            id: last(&rule.name),
            role: last(&rule.role),
            target: if rule.target.contains("/pluginGroups/") {
                format!("plugin-group:{}", last(&rule.target))
            } else {
                short(&rule.target)
            },
            effect,
            max_stage,
            seat_pool: (!rule.seat_pool.is_empty()).then(|| last(&rule.seat_pool)),
            not_before: moment(rule.not_before)?,
            not_after: moment(rule.not_after)?,
            floor: rule.floor,
            reason: rule.reason.clone(),
        })
    }

    fn entitlement(self, parent: &str) -> Result<Entitlement> {
        let wrong =
            |field: &str, text: String| Error::Usage(format!("rule `{}`: `{field}`: {text}", self.id));
        let at = |field: &str, text: &Option<String>| {
            text.as_deref().map(|text| time(text).map_err(|e| wrong(field, e))).transpose()
        };
        let effect = match self.effect {
            EffectWord::Denied => Effect::Denied,
            EffectWord::Available => Effect::Available,
            EffectWord::Default => Effect::Default,
            EffectWord::Required => Effect::Required,
        };
        let pool = self.seat_pool.as_deref().map(|pool| beside(parent, "seatPools", pool)).transpose()?;
        let max_stage = match self.max_stage {
            StageWord::Alpha => Stage::Alpha,
            StageWord::Preview => Stage::Preview,
            StageWord::Live => Stage::Live,
        };
        Ok(Entitlement {
            name: beside(parent, "entitlements", &self.id)?,
            role: if self.role == "*" { self.role.clone() } else { beside(parent, "roles", &self.role)? },
            target: target(parent, &self.target)?,
            effect: effect.into(),
            max_stage: max_stage.into(),
            seat_pool: pool.unwrap_or_default(),
            not_before: at("not_before", &self.not_before)?,
            not_after: at("not_after", &self.not_after)?,
            floor: self.floor,
            reason: self.reason,
            ..Entitlement::default()
        })
    }
}

fn moment(time: Option<prost_types::Timestamp>) -> Result<Option<String>> {
    let outside = |_| Error::Local("a rule's window is out of range; install a newer build".to_owned());
    let text = |t: prost_types::Timestamp| Timestamp::new(t.seconds, t.nanos).map(|t| t.to_string());
    time.map(text).transpose().map_err(outside)
}

/// Prints the rules.
pub async fn export(app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(None)?;
    let mut request = ListEntitlementsRequest {
        parent: parent.clone(),
        page_size: 1_000,
        order_by: "entitlement_id".to_owned(),
        ..ListEntitlementsRequest::default()
    };
    let mut rules = Vec::new();
    loop {
        let page = app
            .client()?
            .call(Repeat::Safe, &request, async |l, r| client(l).list_entitlements(r).await)
            .await?;
        for rule in &page.entitlements {
            rules.push(Rule::of(rule)?);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let text = match app.format() {
        Format::Json => encode(&File { rules }, Format::Json)?,
        Format::Table | Format::Yaml => {
            let head =
                format!("# The rules of {parent}; `provost policy diff` compares such a file with them.\n");
            head + &encode(&File { rules }, Format::Yaml)?
        }
    };
    app.console.print(&text)?;
    Ok(Exit::OK)
}

/// Compares.
pub async fn diff(args: Diff, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(None)?;
    let text = app.read_file(&args.file)?;
    let file: File = serde_norway::from_str(&text)
        .map_err(|error| Error::Local(format!("`{}`: {error}", args.file.display())))?;
    let entitlements = file.rules.into_iter().map(|rule| rule.entitlement(&parent)).collect::<Result<_>>()?;
    let request = DiffPoliciesRequest {
        parent,
        entitlements,
        at_time: args.terms.at,
        max_principals: args.terms.max_principals,
        revision_token: String::new(),
    };
    let answer =
        app.client()?.call(Repeat::Safe, &request, async |l, r| client(l).diff_policies(r).await).await?;
    if app.format() == Format::Table {
        app.console.print(&told(&answer)?)?;
    } else {
        app.print(&Answer::One(reflect(&answer)?))?;
    }
    Ok(Exit::OK)
}

/// The rules that differ, a line each, and what that would do.
fn told(answer: &DiffPoliciesResponse) -> Result<String> {
    let mut text = String::new();
    for rule in &answer.rules {
        let (before, after) = (rule.before.as_ref(), rule.after.as_ref());
        let says = |rule: Option<&Entitlement>| rule.map_or_else(|| Ok(String::new()), line);
        match rule.kind() {
            RuleChangeKind::Added => text.push_str(&format!("+ {}\n", says(after)?)),
            RuleChangeKind::Removed => text.push_str(&format!("- {}\n", says(before)?)),
            RuleChangeKind::Changed | RuleChangeKind::Unspecified => {
                text.push_str(&format!("- {}\n+ {}\n", says(before)?, says(after)?));
            }
        }
    }
    let DiffPoliciesResponse { added_count, removed_count, changed_count, unchanged_count, .. } = answer;
    text.push_str(&format!(
        "{added_count} added, {removed_count} removed, {changed_count} changed, {unchanged_count} the same\n\n"
    ));
    Ok(text + &show(&answer.difference.clone().unwrap_or_default()))
}

/// A rule on one line.
fn line(rule: &Entitlement) -> Result<String> {
    let json = serde_json::to_value(Rule::of(rule)?).map_err(|e| Error::Local(e.to_string()))?;
    let fields = json.as_object().into_iter().flatten();
    let words = fields.filter(|(name, _)| *name != "id").map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name}={text}"),
        None => format!("{name}={value}"),
    });
    let id = rule.name.rsplit('/').next().unwrap_or(&rule.name);
    Ok(clean(&format!("{id}: {}", words.collect::<Vec<_>>().join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_reads_back_as_it_was() {
        let rule = Entitlement {
            name: "tenants/acme/entitlements/bankers".to_owned(),
            role: "tenants/acme/roles/banker".to_owned(),
            target: "marketplaces/codex/plugins/kit/apps/Fact Set: \"v2\"".to_owned(),
            effect: Effect::Denied.into(),
            max_stage: Stage::Preview.into(),
            not_before: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 123_456_000 }),
            floor: true,
            reason: "yes: # \"no\"\nnever".to_owned(),
            ..Entitlement::default()
        };
        let everybody = Entitlement {
            name: "tenants/acme/entitlements/n".to_owned(),
            role: "*".to_owned(),
            target: "tenants/acme/pluginGroups/research".to_owned(),
            seat_pool: "tenants/acme/seatPools/standard".to_owned(),
            effect: Effect::Default.into(),
            max_stage: Stage::Live.into(),
            ..Entitlement::default()
        };
        let file = File { rules: vec![Rule::of(&rule).unwrap(), Rule::of(&everybody).unwrap()] };
        let text = encode(&file, Format::Yaml).unwrap();
        let back: File = serde_norway::from_str(&text).unwrap();
        assert_eq!(back, file, "{text}");
        let again: Vec<_> =
            back.rules.into_iter().map(|rule| rule.entitlement("tenants/acme").unwrap()).collect();
        assert_eq!(again, [rule, everybody]);
    }

    #[test]
    fn a_misspelt_file_is_refused_with_the_place() {
        let refused = |text: &str| serde_norway::from_str::<File>(text).unwrap_err().to_string();
        let rule = "rules:\n- {id: a, role: '*', target: m, effect: ";
        assert!(refused(&format!("{rule}deny}}")).contains("unknown variant `deny`"));
        assert!(refused(&format!("{rule}denied, stage: live}}")).contains("unknown field `stage`"));
        assert!(refused("rule: []").contains("unknown field `rule`"));
    }
}
