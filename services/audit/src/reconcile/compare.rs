//! The comparison of what was folded with the tables.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Kernel, Result,
    audit::sealed::ERASED,
    db::{Executor, Reader},
    scope::{Scope, ScopeKind},
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    report::{Difference, Report, shown},
    store,
};
use crate::fold::{
    Fold,
    row::{self, Row, Spec, reopened, same},
    state::{Bag, Chain, Lives, State},
};

/// Compares all tables of a scope with what its log comes to.
pub async fn compare(kernel: &Kernel, db: &mut Reader, scope: &Scope, fold: Fold) -> Result<Report> {
    let Fold { next, mut state } = fold;
    let mut report = Report::new(scope.to_string(), next, kernel.key_for("audit divergence"));
    close(&mut state, scope, &mut report);
    open(kernel, db, scope, &mut state).await;
    let id = scope.id();
    if scope.kind() == ScopeKind::Tenant {
        tenant(db, scope, &state, &mut report).await?;
    }
    if state.erasing {
        // what is still there goes, and is on the record as gone
        return Ok(report);
    }
    let mut rows = Rows::chains(&row::PRINCIPAL, &state.principals, |slug| scope.child("principals", slug));
    store::each(db, store::PRINCIPAL, id, |r: store::PrincipalRow| {
        rows.live(&r.slug, || scope.child("principals", &r.slug), &r, &mut report);
    })
    .await?;
    rows.missing(&mut report);
    if scope.kind() == ScopeKind::Tenant {
        groups(db, scope, &state, &mut report).await?;
        roles(db, scope, &state, &mut report).await?;
        entitlements(db, scope, &state, &mut report).await?;
        plugins(db, scope, &state, &mut report).await?;
        plugin_groups(db, scope, &state, &mut report).await?;
        seat_pools(db, scope, &state, &mut report).await?;
    }
    let name = |id: &dyn std::fmt::Display| scope.child("dutyGrants", id);
    let mut rows = Rows::bag(&row::DUTY, &state.duties, |id, row| {
        (id.to_string(), format!("{} ({})", name(id), row.text(&row::DUTY, "duty")))
    });
    store::each(db, store::DUTY, id, |r: store::DutyRow| {
        rows.live(&r.id.to_string(), || format!("{} ({})", name(&r.id), r.duty), &r, &mut report);
    })
    .await?;
    rows.missing(&mut report);
    Ok(report)
}

async fn tenant(db: &mut Reader, scope: &Scope, state: &State, report: &mut Report) -> Result<()> {
    let mut rows = Rows::new(&row::TENANT);
    if let Some(row) = &state.tenant.row {
        rows.expect(String::new(), scope.to_string(), row);
    }
    store::each(db, store::TENANT, scope.id(), |r: store::TenantRow| {
        rows.live("", || scope.to_string(), &r, report);
    })
    .await?;
    rows.missing(report);
    Ok(())
}

async fn groups(db: &mut Reader, scope: &Scope, state: &State, report: &mut Report) -> Result<()> {
    let mut rows = Rows::chains(&row::GROUP, &state.groups, |slug| scope.child("groups", slug));
    store::each(db, store::GROUP, scope.id(), |r: store::GroupRow| {
        rows.live(&r.slug, || scope.child("groups", &r.slug), &r, report);
    })
    .await?;
    rows.missing(report);
    let key = |group: &str, principal: &str| format!("{group}/{principal}");
    let name = |group: &str, principal: &str| format!("{} -> {principal}", scope.child("groups", group));
    let mut rows = Rows::bag(&row::GROUP_MEMBER, &state.group_members, |_, row| {
        let text = |field| row.text(&row::GROUP_MEMBER, field);
        (key(text("group"), text("principal_id")), name(text("group"), text("principal_slug")))
    });
    store::each(db, store::GROUP_MEMBER, scope.id(), |r: store::GroupMemberRow| {
        let principal = r.principal_id.to_string();
        rows.live(&key(&r.whose, &principal), || name(&r.whose, &principal), &r, report);
    })
    .await?;
    rows.missing(report);
    Ok(())
}

async fn roles(db: &mut Reader, scope: &Scope, state: &State, report: &mut Report) -> Result<()> {
    let mut rows = Rows::chains(&row::ROLE, &state.roles, |slug| scope.child("roles", slug));
    store::each(db, store::ROLE, scope.id(), |r: store::RoleRow| {
        rows.live(&r.slug, || scope.child("roles", &r.slug), &r, report);
    })
    .await?;
    rows.missing(report);
    let key = |role: &str, kind: &str, member: &str| format!("{role}/{kind}/{member}");
    let name = |role: &str, member: &str| format!("{} -> {member}", scope.child("roles", role));
    let mut rows = Rows::bag(&row::ROLE_MEMBER, &state.role_members, |_, row| {
        let text = |field| row.text(&row::ROLE_MEMBER, field);
        (key(text("role"), text("kind"), text("member_id")), name(text("role"), text("slug")))
    });
    store::each(db, store::ROLE_MEMBER, scope.id(), |r: store::RoleMemberRow| {
        let member = r.member_id.to_string();
        rows.live(&key(&r.whose, &r.kind, &member), || name(&r.whose, &member), &r, report);
    })
    .await?;
    rows.missing(report);
    let pairs = |(role, chain): (&String, &Chain)| -> Vec<(String, String)> {
        chain.included.iter().map(|other| (role.clone(), other.clone())).collect()
    };
    let mut recorded: BTreeSet<_> = state.roles.iter().flat_map(pairs).collect();
    let row = |(role, other): &(String, String)| name(role, other);
    store::each(db, store::INCLUSION, scope.id(), |r: store::InclusionRow| {
        report.rows += 1;
        let pair = (r.whose, r.included);
        if !recorded.remove(&pair) {
            whole("role_inclusion", row(&pair), true, report);
        }
    })
    .await?;
    for pair in &recorded {
        whole("role_inclusion", row(pair), false, report);
    }
    Ok(())
}

async fn entitlements(db: &mut Reader, scope: &Scope, state: &State, report: &mut Report) -> Result<()> {
    let mut rows = Rows::bag(&row::ENTITLEMENT, &state.entitlements, |id, row| {
        (id.to_string(), scope.child("entitlements", row.text(&row::ENTITLEMENT, "slug")))
    });
    store::each(db, store::ENTITLEMENT, scope.id(), |r: store::EntitlementRow| {
        rows.live(&r.id.to_string(), || scope.child("entitlements", &r.slug), &r, report);
    })
    .await?;
    rows.missing(report);
    Ok(())
}

/// What the tenant has of its own for plugins.
async fn plugins(db: &mut Reader, scope: &Scope, state: &State, report: &mut Report) -> Result<()> {
    let name = |slug: &str| scope.child("connectorBindings", slug);
    let mut rows = Rows::lives(&row::CONNECTOR_BINDING, &state.bindings, name);
    store::each(db, store::CONNECTOR_BINDING, scope.id(), |r: store::ConnectorBindingRow| {
        rows.live(&r.id.to_string(), || name(&r.slug), &r, report);
    })
    .await?;
    rows.missing(report);
    let name = |slug: &str| scope.child("stageOverrides", slug);
    let mut rows = Rows::lives(&row::STAGE_OVERRIDE, &state.overrides, name);
    store::each(db, store::STAGE_OVERRIDE, scope.id(), |r: store::StageOverrideRow| {
        rows.live(&r.id.to_string(), || name(&r.slug), &r, report);
    })
    .await?;
    rows.missing(report);
    Ok(())
}

async fn plugin_groups(db: &mut Reader, scope: &Scope, state: &State, report: &mut Report) -> Result<()> {
    let full = |slug: &str| scope.child("pluginGroups", slug);
    let mut rows = Rows::chains(&row::PLUGIN_GROUP, &state.plugin_groups, full);
    store::each(db, store::PLUGIN_GROUP, scope.id(), |r: store::SetRow| {
        rows.live(&r.slug, || full(&r.slug), &r, report);
    })
    .await?;
    rows.missing(report);
    let key = |group: &str, plugin: &str| format!("{group}/{plugin}");
    let name = |group: &str, plugin: &str| format!("{} -> {plugin}", full(group));
    let mut rows = Rows::bag(&row::PLUGIN_GROUP_MEMBER, &state.plugin_group_members, |_, row| {
        let text = |field| row.text(&row::PLUGIN_GROUP_MEMBER, field);
        let plugin = format!("{}/{}", text("marketplace_slug"), text("plugin_slug"));
        (key(text("plugin_group"), text("plugin_id")), name(text("plugin_group"), &plugin))
    });
    store::each(db, store::PLUGIN_GROUP_MEMBER, scope.id(), |r: store::PluginGroupMemberRow| {
        let plugin = r.plugin_id.to_string();
        rows.live(&key(&r.whose, &plugin), || name(&r.whose, &plugin), &r, report);
    })
    .await?;
    rows.missing(report);
    Ok(())
}

async fn seat_pools(db: &mut Reader, scope: &Scope, state: &State, report: &mut Report) -> Result<()> {
    let full = |slug: &str| scope.child("seatPools", slug);
    let mut rows = Rows::chains(&row::SEAT_POOL, &state.seat_pools, full);
    store::each(db, store::SEAT_POOL, scope.id(), |r: store::SetRow| {
        rows.live(&r.slug, || full(&r.slug), &r, report);
    })
    .await?;
    rows.missing(report);
    let key = |pool: &str, principal: &str| format!("{pool}/{principal}");
    let name = |pool: &str, principal: &str| format!("{} -> {principal}", full(pool));
    let mut rows = Rows::bag(&row::SEAT_HOLDER, &state.seat_holders, |_, row| {
        let text = |field| row.text(&row::SEAT_HOLDER, field);
        (key(text("seat_pool"), text("principal_id")), name(text("seat_pool"), text("principal_slug")))
    });
    store::each(db, store::SEAT_HOLDER, scope.id(), |r: store::SeatHolderRow| {
        let principal = r.principal_id.to_string();
        rows.live(&key(&r.whose, &principal), || name(&r.whose, &principal), &r, report);
    })
    .await?;
    rows.missing(report);
    Ok(())
}

/// What the log says of one table, and has not been found in it yet.
struct Rows<'s> {
    spec: &'static Spec,
    expected: BTreeMap<String, (String, &'s Row)>,
}

impl<'s> Rows<'s> {
    fn new(spec: &'static Spec) -> Self {
        Self { spec, expected: BTreeMap::new() }
    }

    fn chains(
        spec: &'static Spec,
        chains: &'s BTreeMap<String, Chain>,
        name: impl Fn(&str) -> String,
    ) -> Self {
        let mut rows = Self::new(spec);
        for (slug, chain) in chains {
            if let Some(row) = &chain.row {
                rows.expect(slug.clone(), name(slug), row);
            }
        }
        rows
    }

    fn lives(spec: &'static Spec, lives: &'s Lives, name: impl Fn(&str) -> String) -> Self {
        let mut rows = Self::new(spec);
        for (id, chain) in lives {
            if let Some(row) = &chain.row {
                rows.expect(id.to_string(), name(row.text(spec, "slug")), row);
            }
        }
        rows
    }

    fn bag(
        spec: &'static Spec,
        bag: &'s Bag,
        key_and_name: impl Fn(&Uuid, &Row) -> (String, String),
    ) -> Self {
        let mut rows = Self::new(spec);
        for (id, row) in &bag.rows {
            let (key, name) = key_and_name(id, row);
            rows.expect(key, name, row);
        }
        rows
    }

    fn expect(&mut self, key: String, name: String, row: &'s Row) {
        self.expected.insert(key, (name, row));
    }

    /// A row that is in the table.
    fn live(&mut self, key: &str, name: impl Fn() -> String, live: &impl Serialize, report: &mut Report) {
        report.rows += 1;
        let Some((name, recorded)) = self.expected.remove(key) else {
            whole(self.spec.table, name(), true, report);
            return;
        };
        let live = serde_json::to_value(live).unwrap_or_default();
        for column in self.spec.compared() {
            let (live, said) = (live.get(column).unwrap_or(&Value::Null), recorded.get(self.spec, column));
            let personal = self.spec.personal.contains(&column);
            if same(live, said) || (personal && said.as_str() == Some(ERASED) && may_stay(self.spec, live)) {
                continue;
            }
            let difference = Difference {
                table: self.spec.table,
                row: name.clone(),
                field: column.to_owned(),
                live: shown(live, personal),
                recorded: shown(said, personal),
            };
            report.found(difference, [live, said]);
        }
    }

    /// What is left is not in the table.
    fn missing(self, report: &mut Report) {
        for (name, _) in self.expected.into_values() {
            whole(self.spec.table, name, false, report);
        }
    }
}

/// Whether a column may hold this where the record's value can no longer be opened. What is about the erased person was taken
/// away; a rule's reason is sealed for whoever gave it, and stays with the rule when that person is erased.
fn may_stay(spec: &Spec, live: &Value) -> bool {
    spec.table == row::ENTITLEMENT.table || matches!(live.as_str(), Some("" | ERASED))
}

/// A row is in the table and not in the log, or the other way round.
fn whole(table: &'static str, row: String, live: bool, report: &mut Report) {
    let (there, none) = ("a row".to_owned(), "none".to_owned());
    let (live, recorded) = if live { (there, none) } else { (none, there) };
    let values = [json!(live), json!(recorded)];
    let difference = Difference { table, row, field: String::new(), live, recorded };
    report.found(difference, [&values[0], &values[1]]);
}

/// Ends the fold: what is recorded later than something that is not recorded counts, and what is not recorded is noted.
fn close(state: &mut State, scope: &Scope, report: &mut Report) {
    let mut lost = |table: &'static str, row: String, revision: i64| {
        let recorded = format!("no event that leads on from revision {revision}");
        let difference =
            Difference { table, row, field: "revision".to_owned(), live: "later ones".to_owned(), recorded };
        report.found(difference, [&Value::Null, &json!(revision)]);
    };
    for from in state.tenant.close(&row::TENANT) {
        lost("tenant", scope.to_string(), from);
    }
    let State { principals, groups, roles, plugin_groups, seat_pools, .. } = state;
    let chains = [
        (principals, &row::PRINCIPAL, "principals"),
        (groups, &row::GROUP, "groups"),
        (roles, &row::ROLE, "roles"),
        (plugin_groups, &row::PLUGIN_GROUP, "pluginGroups"),
        (seat_pools, &row::SEAT_POOL, "seatPools"),
    ];
    for (chains, spec, collection) in chains {
        for (slug, chain) in chains {
            for from in chain.close(spec) {
                lost(spec.table, scope.child(collection, slug), from);
            }
        }
    }
    let lives = [
        (&mut state.bindings, &row::CONNECTOR_BINDING, "connectorBindings"),
        (&mut state.overrides, &row::STAGE_OVERRIDE, "stageOverrides"),
    ];
    for (lives, spec, collection) in lives {
        for (id, chain) in lives {
            for from in chain.close(spec) {
                let slug = chain.row.as_ref().map(|row| row.text(spec, "slug").to_owned());
                let slug = slug.filter(|slug| !slug.is_empty()).unwrap_or_else(|| id.to_string());
                lost(spec.table, scope.child(collection, slug), from);
            }
        }
    }
    for (id, from) in state.entitlements.close(&row::ENTITLEMENT) {
        lost("entitlement", format!("{scope} {id}"), from);
    }
    let State {
        group_members, role_members, entitlements, duties, plugin_group_members, seat_holders, ..
    } = state;
    let bags = [
        (group_members, &row::GROUP_MEMBER),
        (role_members, &row::ROLE_MEMBER),
        (entitlements, &row::ENTITLEMENT),
        (duties, &row::DUTY),
        (plugin_group_members, &row::PLUGIN_GROUP_MEMBER),
        (seat_holders, &row::SEAT_HOLDER),
    ];
    for (bag, spec) in bags {
        for id in bag.gone.keys() {
            let (live, recorded) = ("none".to_owned(), "an end without a beginning".to_owned());
            let row = format!("{scope} {id}");
            let difference = Difference { table: spec.table, row, field: String::new(), live, recorded };
            report.found(difference, [&Value::Null, &json!(id)]);
        }
    }
}

/// Opens what is sealed in the rows of principals and rules, and says in each principal where it lives.
async fn open(kernel: &Kernel, db: &mut impl Executor, scope: &Scope, state: &mut State) {
    let State { principals, entitlements, .. } = state;
    for row in principals.values_mut().filter_map(|chain| chain.row.as_mut()) {
        row.put(&row::PRINCIPAL, "scope_kind", json!(scope.kind().as_str()));
        open_row(kernel, db, scope, (&row::PRINCIPAL, row)).await;
    }
    for row in entitlements.rows.values_mut() {
        open_row(kernel, db, scope, (&row::ENTITLEMENT, row)).await;
    }
}

async fn open_row(
    kernel: &Kernel,
    db: &mut impl Executor,
    scope: &Scope,
    (spec, row): (&'static Spec, &mut Row),
) {
    for field in spec.personal {
        let Some((mut entry, pointer)) = reopened(row.get(spec, field)) else { continue };
        // what cannot be opened stays sealed, and is a difference
        if let Err(error) = kernel.subjects.open(db, &mut entry).await {
            tracing::error!(%scope, field, %error, "a sealed field of the audit log cannot be opened");
            continue;
        }
        let plain = entry.pointer(&pointer).cloned().unwrap_or_default();
        row.put(spec, field, plain);
    }
}
