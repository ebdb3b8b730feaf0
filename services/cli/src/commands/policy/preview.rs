//! What changes would do, for people.

use clap::Args;
use prost_types::Timestamp;
use proto::{
    decision::v1::DecisionReason,
    entitlement::v1::{
        AccessChange, AccessChangeKind, AccessDifference, AccessOutcome, PreviewChangeRequest,
        ProposedBinding, ProposedChange, ProposedMember, ProposedStage, proposed_change::Change,
    },
};

use super::client;
use crate::{
    app::App,
    args::{choice, time},
    client::Repeat,
    error::{Error, Exit, Result},
    names::{self, beside, member},
    output::{Answer, Format, clean, reflect},
};

/// Changes that somebody thinks of; `entitlement create --preview` and `entitlement delete --preview` are for one rule.
#[derive(Args, Debug)]
pub struct Preview {
    /// A role that would be given: `ROLE=principal:ID` or `ROLE=group:ID`; repeat for several
    #[arg(long, value_name = "ROLE=MEMBER")]
    add_member: Vec<String>,
    /// A role that would be taken
    #[arg(long, value_name = "ROLE=MEMBER")]
    remove_member: Vec<String>,
    /// A principal that would be put into a group
    #[arg(long, value_name = "GROUP=PRINCIPAL")]
    join_group: Vec<String>,
    /// A principal that would be taken out of one
    #[arg(long, value_name = "GROUP=PRINCIPAL")]
    leave_group: Vec<String>,
    /// A role that would include another
    #[arg(long, value_name = "ROLE=ROLE")]
    include_role: Vec<String>,
    /// A role that would not any more
    #[arg(long, value_name = "ROLE=ROLE")]
    exclude_role: Vec<String>,
    /// A rule that would be deleted
    #[arg(long, value_name = "RULE")]
    delete_rule: Vec<String>,
    /// A principal that would be suspended
    #[arg(long, value_name = "PRINCIPAL")]
    suspend: Vec<String>,
    /// A principal that would be resumed
    #[arg(long, value_name = "PRINCIPAL")]
    resume: Vec<String>,
    /// A seat that would be given: `POOL=PRINCIPAL`
    #[arg(long, value_name = "POOL=PRINCIPAL")]
    give_seat: Vec<String>,
    /// A seat that would be taken
    #[arg(long, value_name = "POOL=PRINCIPAL")]
    take_seat: Vec<String>,
    /// A plugin that would be put into a plugin group: `GROUP=MARKETPLACE/PLUGIN`
    #[arg(long, value_name = "GROUP=PLUGIN")]
    add_plugin: Vec<String>,
    /// A plugin that would be taken out of one
    #[arg(long, value_name = "GROUP=PLUGIN")]
    remove_plugin: Vec<String>,
    /// An app that would have a connector of the tenant's own: `MARKETPLACE/PLUGIN=APP`
    #[arg(long, value_name = "PLUGIN=APP")]
    bind: Vec<String>,
    /// An app that would not any more
    #[arg(long, value_name = "PLUGIN=APP")]
    unbind: Vec<String>,
    /// A plugin whose stage would be another: the plugin, and with --to the stage
    #[arg(long, value_name = "PLUGIN", requires = "to")]
    set_stage: Vec<String>,
    /// The stage of --set-stage
    #[arg(long, value_name = "STAGE", value_parser = choice("provost.catalog.v1.Stage"))]
    to: Option<i32>,
    #[command(flatten)]
    terms: Terms,
}

/// When, and how much is named.
#[derive(Args, Clone, Debug, Default)]
pub struct Terms {
    /// When the answers would be given; now by default
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<Timestamp>,
    /// Of each difference, name at most so many principals, 20 by default
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub max_principals: i32,
}

/// Runs `policy preview`.
pub async fn run(args: Preview, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(None)?;
    let changes = changes(&args, &parent)?;
    foresee(app, parent, changes, &args.terms).await
}

fn changes(args: &Preview, parent: &str) -> Result<Vec<ProposedChange>> {
    let own = |collection, id: &String| beside(parent, collection, id);
    let mut all = Vec::new();
    for (pairs, there) in [(&args.add_member, true), (&args.remove_member, false)] {
        for pair in pairs {
            let (role, who) = split(pair)?;
            let link = ProposedMember { name: beside(parent, "roles", role)?, member: member(parent, who)? };
            all.push(if there { Change::AddRoleMember(link) } else { Change::RemoveRoleMember(link) });
        }
    }
    for (pairs, there) in [(&args.join_group, true), (&args.leave_group, false)] {
        for pair in pairs {
            let (group, who) = split(pair)?;
            let member = beside(parent, "principals", who.strip_prefix("principal:").unwrap_or(who))?;
            let link = ProposedMember { name: beside(parent, "groups", group)?, member };
            all.push(if there { Change::AddGroupMember(link) } else { Change::RemoveGroupMember(link) });
        }
    }
    for (pairs, there) in [(&args.include_role, true), (&args.exclude_role, false)] {
        for pair in pairs {
            let (role, other) = split(pair)?;
            let link = ProposedMember {
                name: beside(parent, "roles", role)?,
                member: beside(parent, "roles", other)?,
            };
            all.push(if there { Change::IncludeRole(link) } else { Change::ExcludeRole(link) });
        }
    }
    all.extend(of_sets(args, parent)?);
    for rule in &args.delete_rule {
        all.push(Change::DeleteEntitlement(own("entitlements", rule)?));
    }
    for who in &args.suspend {
        all.push(Change::SuspendPrincipal(own("principals", who)?));
    }
    for who in &args.resume {
        all.push(Change::ResumePrincipal(own("principals", who)?));
    }
    for plugin in &args.set_stage {
        let stage = args.to.unwrap_or_default();
        all.push(Change::SetPluginStage(ProposedStage { plugin: names::plugin(plugin)?, stage }));
    }
    if all.is_empty() {
        return Err(Error::Usage(
            "nothing to preview; give a change, for example --add-member ROLE=MEMBER".to_owned(),
        ));
    }
    Ok(all.into_iter().map(|change| ProposedChange { change: Some(change) }).collect())
}

/// Seats, plugin groups and bindings.
fn of_sets(args: &Preview, parent: &str) -> Result<Vec<Change>> {
    let mut all = Vec::new();
    for (pairs, there) in [(&args.give_seat, true), (&args.take_seat, false)] {
        for pair in pairs {
            let (pool, who) = split(pair)?;
            let member = beside(parent, "principals", who.strip_prefix("principal:").unwrap_or(who))?;
            let link = ProposedMember { name: beside(parent, "seatPools", pool)?, member };
            all.push(if there { Change::AddSeatHolder(link) } else { Change::RemoveSeatHolder(link) });
        }
    }
    for (pairs, there) in [(&args.add_plugin, true), (&args.remove_plugin, false)] {
        for pair in pairs {
            let (group, plugin) = split(pair)?;
            let name = beside(parent, "pluginGroups", group)?;
            let link = ProposedMember { name, member: names::plugin(plugin)? };
            all.push(if there {
                Change::AddPluginGroupMember(link)
            } else {
                Change::RemovePluginGroupMember(link)
            });
        }
    }
    for (pairs, there) in [(&args.bind, true), (&args.unbind, false)] {
        for pair in pairs {
            let (plugin, app) = split(pair)?;
            let binding = ProposedBinding { plugin: names::plugin(plugin)?, app: app.to_owned() };
            all.push(if there { Change::BindConnector(binding) } else { Change::UnbindConnector(binding) });
        }
    }
    Ok(all)
}

fn split(pair: &str) -> Result<(&str, &str)> {
    pair.split_once('=').ok_or_else(|| Error::Usage(format!("`{pair}` has no `=`; write `ROLE=MEMBER`")))
}

/// Asks what changes would do, and tells it.
pub async fn foresee(
    app: &mut App<'_, '_>,
    parent: String,
    changes: Vec<ProposedChange>,
    terms: &Terms,
) -> Result<Exit> {
    let request = PreviewChangeRequest {
        parent,
        changes,
        at_time: terms.at,
        max_principals: terms.max_principals,
        revision_token: String::new(),
    };
    let answer =
        app.client()?.call(Repeat::Safe, &request, async |l, r| client(l).preview_change(r).await).await?;
    if app.format() == Format::Table {
        app.console.print(&show(&answer.difference.unwrap_or_default()))?;
    } else {
        app.print(&Answer::One(reflect(&answer)?))?;
    }
    Ok(Exit::OK)
}

/// A difference in sentences.
pub fn show(difference: &AccessDifference) -> String {
    if difference.principal_count == 0 {
        return "Nobody's answers would change.\n".to_owned();
    }
    let mut text = format!(
        "{}: {} gained, {} lost, {} allowed otherwise, {} refused otherwise.\n",
        people(difference.principal_count, "would get other answers", "would get other answers"),
        difference.gained_count,
        difference.lost_count,
        difference.effect_changed_count,
        difference.reason_changed_count
    );
    let mut kind = AccessChangeKind::Unspecified;
    let mut lines: Vec<_> = difference.changes.iter().collect();
    lines.sort_by_key(|line| line.kind);
    for line in lines {
        if line.kind() != kind {
            kind = line.kind();
            text.push('\n');
        }
        text.push_str(&sentence(line));
    }
    if difference.truncated {
        text.push_str("\nNot everybody is named; --max-principals names more, and all are counted.\n");
    }
    text
}

/// `12 people gain codex/pitchbook …: ann, bob and 10 more`.
fn sentence(line: &AccessChange) -> String {
    let (before, after) = (line.before.clone().unwrap_or_default(), line.after.clone().unwrap_or_default());
    let target = short(&line.target);
    let said = match line.kind() {
        AccessChangeKind::Gained => {
            format!(
                "{} {target} ({}{})",
                people(line.principal_count, "gains", "gain"),
                word(&after),
                by(&after)
            )
        }
        AccessChangeKind::Lost => {
            format!(
                "{} {target} ({}{})",
                people(line.principal_count, "loses", "lose"),
                word(&after),
                by(&after)
            )
        }
        AccessChangeKind::Effect => format!(
            "{} {target}, {} instead of {}{}",
            people(line.principal_count, "keeps", "keep"),
            word(&after),
            word(&before),
            by(&after)
        ),
        AccessChangeKind::Reason | AccessChangeKind::Unspecified => format!(
            "{} refused {target}, for {} instead of {}{}",
            people(line.principal_count, "is still", "are still"),
            word(&after),
            word(&before),
            by(&after)
        ),
    };
    let mut who: Vec<_> =
        line.principals.iter().map(|name| name.rsplit('/').next().unwrap_or(name)).collect();
    let more = line.principal_count.saturating_sub(i64::try_from(who.len()).unwrap_or(i64::MAX));
    let more = format!("{more} more");
    if more != "0 more" {
        who.push(&more);
    }
    format!("{said}: {}\n", clean(&who.join(", ")))
}

fn people(count: i64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 person {one}") } else { format!("{count} people {many}") }
}

/// What an allow does, or why a no is one.
fn word(outcome: &AccessOutcome) -> String {
    let reason = outcome.reason();
    if reason == DecisionReason::Allowed {
        outcome.effect().as_str_name().trim_start_matches("EFFECT_").to_lowercase()
    } else {
        reason.as_str_name().trim_start_matches("DECISION_REASON_").to_owned()
    }
}

fn by(outcome: &AccessOutcome) -> String {
    let rules: Vec<_> =
        outcome.entitlements.iter().map(|name| name.rsplit('/').next().unwrap_or(name)).collect();
    if rules.is_empty() { String::new() } else { format!(", by {}", clean(&rules.join(", "))) }
}

/// `codex/pitchbook` for its whole name.
pub fn short(name: &str) -> String {
    clean(&name.trim_start_matches("marketplaces/").replacen("/plugins/", "/", 1))
}
