//! The tables are what the log says, and where they are not it is found, named and raised once.

use std::time::Duration;

use audit::reconcile::{Job, Report, reconcile, scopes};
use kernel::{Kernel, telemetry::Telemetry};
use proto::catalog::v1::Stage;
use serde_json::{Value, json};
use tests::{Site, World, both_engines, own, process, raw, sets, staff, world};
use uuid::Uuid;

use super::{
    events,
    history::{self, Dice},
};

/// Writes to the database behind the server's back.
async fn sql(kernel: &Kernel, text: &'static str) -> u64 {
    let mut tx = kernel.db.begin_derived();
    let rows = kernel::execute!(&mut tx, sqlx::query(text)).unwrap();
    tx.finish().await.unwrap();
    rows
}

/// The identity of a scope.
async fn id(world: &World, name: &str) -> Uuid {
    let mut db = world.site.kernel().db.reader().await.unwrap();
    kernel::scope::Scope::find(&mut db, "name", name).await.unwrap().id()
}

/// Compares `tenants/acme` with its log.
async fn acme(world: &World) -> Report {
    reconcile(world.site.kernel(), id(world, world::ACME).await).await.unwrap()
}

/// `table.field of row` of everything that was found, in the order of the report.
fn named(report: &Report) -> Vec<String> {
    let dot = |field: &str| if field.is_empty() { String::new() } else { format!(".{field}") };
    report.differences.iter().map(|d| format!("{}{} of {}", d.table, dot(&d.field), d.row)).collect()
}

pub(super) async fn assert_all_agree(world: &World, what: &str) {
    for scope in scopes(world.site.kernel()).await.unwrap() {
        // what has its place in the log by now, and what waits for it, is the sequencer's affair
        let report = reconcile(world.site.kernel(), scope).await.unwrap();
        assert!(report.agrees(), "{what}: {report:#?}");
        assert!(report.rows > 0, "{what}: {report:?}");
    }
}

/// Somebody with a role, a rule, a group, an inclusion and a duty.
pub(super) async fn peopled(site: Site) -> World {
    let world = World::build(site).await;
    for role in ["banker", "clerk"] {
        world.role(role).await;
    }
    let maria =
        json!({"kind": "PRINCIPAL_KIND_USER", "displayName": "Maria Lopez", "email": "maria@acme.example"});
    let request = json!({"parent": world::ACME, "principalId": "maria", "principal": maria});
    raw::json(&world.owner, "provost.principal.v1.PrincipalService/CreatePrincipal", request).await.unwrap();
    staff::group(&world.owner, "desk", &["maria"]).await;
    staff::give(&world.owner, "banker", "groups/desk").await;
    staff::give(&world.owner, "clerk", "principals/maria").await;
    staff::include(&world.owner, "banker", "clerk").await;
    let mut files = tests::market::small(&["kit"]);
    own::apps(&mut files, "kit", &["crm"], &[]);
    tests::market::import(&world.admin, &files).await.unwrap();
    own::bind(&world.owner, "crm", "kit", "crm", "acme-crm").await.unwrap();
    own::hold(&world.owner, "early", "kit", Stage::Alpha).await.unwrap();
    let rule = proto::entitlement::v1::Entitlement {
        role: "tenants/acme/roles/banker".to_owned(),
        target: "marketplaces/vendor/plugins/kit".to_owned(),
        effect: proto::entitlement::v1::Effect::Denied.into(),
        reason: "Maria asked for it".to_owned(),
        ..Default::default()
    };
    crate::decisions::create(&world.holders["admin"], "no", rule).await.unwrap();
    sets::plugin_group(&world.owner, "research", &["kit"]).await.unwrap();
    sets::seat_pool(&world.owner, "standard", &["maria"]).await.unwrap();
    let terms = json!({"entitlement": {"name": "tenants/acme/entitlements/no", "reason": "not yet"}});
    raw::json(&world.holders["admin"], "provost.entitlement.v1.EntitlementService/UpdateEntitlement", terms)
        .await
        .unwrap();
    world
}

/// What is done behind the server's back, what takes it back, and what is found.
const EDITS: [(&str, &str, &str); 22] = [
    (
        "UPDATE principal SET state = 'suspended' WHERE slug = 'maria'",
        "UPDATE principal SET state = 'active' WHERE slug = 'maria'",
        "principal.state of tenants/acme/principals/maria",
    ),
    (
        "UPDATE principal SET email = 'mallory@acme.example' WHERE slug = 'maria'",
        "UPDATE principal SET email = 'maria@acme.example' WHERE slug = 'maria'",
        "principal.email of tenants/acme/principals/maria",
    ),
    (
        "UPDATE principal SET scope_kind = 'partner' WHERE slug = 'maria'",
        "UPDATE principal SET scope_kind = 'tenant' WHERE slug = 'maria'",
        "principal.scope_kind of tenants/acme/principals/maria",
    ),
    (
        "UPDATE role SET delete_time = 5 WHERE slug = 'banker'",
        "UPDATE role SET delete_time = NULL WHERE slug = 'banker'",
        "role.delete_time of tenants/acme/roles/banker",
    ),
    (
        "UPDATE role SET revision = revision + 1 WHERE slug = 'clerk'",
        "UPDATE role SET revision = revision - 1 WHERE slug = 'clerk'",
        "role.revision of tenants/acme/roles/clerk",
    ),
    (
        "UPDATE principal_group SET external_id = 'cn=x' WHERE slug = 'desk'",
        "UPDATE principal_group SET external_id = '' WHERE slug = 'desk'",
        "principal_group.external_id of tenants/acme/groups/desk",
    ),
    (
        "UPDATE entitlement SET effect = 'required' WHERE slug = 'no'",
        "UPDATE entitlement SET effect = 'denied' WHERE slug = 'no'",
        "entitlement.effect of tenants/acme/entitlements/no",
    ),
    (
        "UPDATE entitlement SET not_after = 7 WHERE slug = 'no'",
        "UPDATE entitlement SET not_after = NULL WHERE slug = 'no'",
        "entitlement.not_after of tenants/acme/entitlements/no",
    ),
    (
        "UPDATE connector_binding SET connector_id = 'mallory' WHERE slug = 'crm'",
        "UPDATE connector_binding SET connector_id = 'acme-crm' WHERE slug = 'crm'",
        "connector_binding.connector_id of tenants/acme/connectorBindings/crm",
    ),
    (
        "UPDATE stage_override SET stage = 'deprecated' WHERE slug = 'early'",
        "UPDATE stage_override SET stage = 'alpha' WHERE slug = 'early'",
        "stage_override.stage of tenants/acme/stageOverrides/early",
    ),
    (
        "UPDATE stage_override SET revision = revision + 1 WHERE slug = 'early'",
        "UPDATE stage_override SET revision = revision - 1 WHERE slug = 'early'",
        "stage_override.revision of tenants/acme/stageOverrides/early",
    ),
    (
        "UPDATE group_member SET create_time = create_time + 1",
        "UPDATE group_member SET create_time = create_time - 1",
        "group_member.create_time of tenants/acme/groups/desk -> maria",
    ),
    (
        "UPDATE role_member SET create_time = create_time + 1 WHERE member_kind = 'group'",
        "UPDATE role_member SET create_time = create_time - 1 WHERE member_kind = 'group'",
        "role_member.create_time of tenants/acme/roles/banker -> desk",
    ),
    (
        "UPDATE duty_grant SET create_time = create_time + 1 WHERE duty = 'finance'",
        "UPDATE duty_grant SET create_time = create_time - 1 WHERE duty = 'finance'",
        "duty_grant.create_time of tenants/acme/dutyGrants/",
    ),
    (
        "UPDATE plugin_group SET description = 'x'",
        "UPDATE plugin_group SET description = ''",
        "plugin_group.description of tenants/acme/pluginGroups/research",
    ),
    (
        "UPDATE plugin_group_member SET create_time = create_time + 1",
        "UPDATE plugin_group_member SET create_time = create_time - 1",
        "plugin_group_member.create_time of tenants/acme/pluginGroups/research -> vendor/kit",
    ),
    (
        "UPDATE seat_pool SET display_name = 'x'",
        "UPDATE seat_pool SET display_name = 'standard'",
        "seat_pool.display_name of tenants/acme/seatPools/standard",
    ),
    (
        "UPDATE seat_holder SET create_time = create_time + 1",
        "UPDATE seat_holder SET create_time = create_time - 1",
        "seat_holder.create_time of tenants/acme/seatPools/standard -> maria",
    ),
    (
        "UPDATE entitlement SET app = 'x'",
        "UPDATE entitlement SET app = NULL",
        "entitlement.app of tenants/acme/entitlements/no",
    ),
    (
        "UPDATE entitlement SET reason = 'x'",
        "UPDATE entitlement SET reason = 'not yet'",
        "entitlement.reason of tenants/acme/entitlements/no",
    ),
    (
        "UPDATE entitlement SET update_time = update_time + 1",
        "UPDATE entitlement SET update_time = update_time - 1",
        "entitlement.update_time of tenants/acme/entitlements/no",
    ),
    (
        "UPDATE tenant SET state = 'live' WHERE slug = 'acme'",
        "UPDATE tenant SET state = 'pipeline' WHERE slug = 'acme'",
        "tenant.state of tenants/acme",
    ),
];

both_engines! {
    async fn whatever_happened_tables_and_log_agree_in_every_scope(site: Site) {
        let world = World::build(site).await;
        history::begin(&world).await;
        let mut dice = Dice::new(7);
        for n in 0..6 {
            for _ in 0..15 {
                history::step(&world, &mut dice).await;
            }
            world.site.advance(Duration::from_mins(1));
            assert_all_agree(&world, &format!("after {n}")).await;
        }
        assert!(events(&world.admin, world::ACME, "action = \"audit.*\" AND event_class = system").await.is_empty());
    }

    async fn they_agree_while_many_change_the_same_rows_and_events_are_waiting(site: Site) {
        let world = peopled(site).await;
        world.site.running.sequencer.stop().await;
        let edit = |n: usize| {
            let owner = world.owner.clone();
            tokio::spawn(async move {
                let member = json!({"name": "tenants/acme/roles/clerk", "member": "tenants/acme/principals/maria"});
                let (rpc, request) = match n % 4 {
                    0 => ("role.v1.RoleService/UpdateRole", json!({"role": {"name": "tenants/acme/roles/clerk", "displayName": format!("{n}")}})),
                    1 => ("role.v1.RoleService/RemoveRoleMember", member),
                    2 => ("role.v1.RoleService/AddRoleMember", member),
                    _ => ("principal.v1.PrincipalService/UpdatePrincipal", json!({"principal": {"name": "tenants/acme/principals/maria", "email": format!("m{n}@acme.example")}})),
                };
                // who loses too often is told so
                let _ = raw::json(&owner, &format!("provost.{rpc}"), request).await;
            })
        };
        for call in (0..48).map(edit).collect::<Vec<_>>() {
            call.await.unwrap();
        }
        assert_all_agree(&world, "with events waiting").await;
        // and when they have their places
        events(&world.owner, world::ACME, "").await;
        let report = acme(&world).await;
        assert!(report.agrees() && report.events > 48, "{report:?}");
    }

    async fn every_edit_behind_our_back_is_found_and_named(site: Site) {
        let world = peopled(site).await;
        let kernel = world.site.kernel();
        assert!(acme(&world).await.agrees());
        for (edit, undo, found) in EDITS {
            assert!(sql(kernel, edit).await > 0, "{edit}");
            let report = acme(&world).await;
            assert!(report.count == 1 && named(&report)[0].starts_with(found), "{edit}: {report:#?}");
            assert!(report.is_new);
            assert!(!format!("{report:?}").contains("@acme.example"), "a person's data is not repeated: {report:?}");
            sql(kernel, undo).await;
            assert!(acme(&world).await.agrees(), "{undo}");
        }
    }

    async fn rows_added_and_removed_behind_our_back_are_found(site: Site) {
        let world = peopled(site).await;
        let kernel = world.site.kernel();
        for (edit, found) in [
            ("DELETE FROM group_member", "group_member of tenants/acme/groups/desk -> maria"),
            ("DELETE FROM role_inclusion", "role_inclusion of tenants/acme/roles/banker -> clerk"),
            ("DELETE FROM role_member WHERE member_kind = 'principal'", "role_member of tenants/acme/roles/clerk -> maria"),
            ("DELETE FROM entitlement", "entitlement of tenants/acme/entitlements/no"),
            ("DELETE FROM connector_binding", "connector_binding of tenants/acme/connectorBindings/crm"),
            ("DELETE FROM stage_override", "stage_override of tenants/acme/stageOverrides/early"),
            (
                "INSERT INTO stage_override (tenant_id, id, slug, marketplace_id, plugin_id, plugin, stage, reason, revision, \
                 create_time, update_time) SELECT id, id, 'shadow', id, id, 'marketplaces/m/plugins/p', 'alpha', '', 1, 5, 5 \
                 FROM tenant WHERE slug = 'acme'",
                "stage_override of tenants/acme/stageOverrides/shadow",
            ),
            ("DELETE FROM plugin_group_member", "plugin_group_member of tenants/acme/pluginGroups/research -> vendor/kit"),
            ("DELETE FROM seat_holder", "seat_holder of tenants/acme/seatPools/standard -> maria"),
            ("DELETE FROM seat_pool", "seat_pool of tenants/acme/seatPools/standard"),
            ("DELETE FROM duty_grant WHERE duty = 'approver'", "duty_grant of tenants/acme/dutyGrants/"),
            (
                "INSERT INTO role_inclusion (tenant_id, role_id, included_id, create_time) \
                 SELECT tenant_id, id, (SELECT o.id FROM role o WHERE o.slug = 'banker'), 5 FROM role WHERE slug = 'clerk'",
                "role_inclusion of tenants/acme/roles/clerk -> banker",
            ),
            (
                "INSERT INTO role_member (tenant_id, role_id, member_kind, member_id, id, create_time) \
                 SELECT r.tenant_id, r.id, 'principal', p.id, p.id, 5 FROM role r JOIN principal p ON p.scope_id = r.tenant_id \
                  WHERE r.slug = 'banker' AND p.slug = 'finance'",
                "role_member of tenants/acme/roles/banker -> ",
            ),
            (
                "INSERT INTO role (tenant_id, id, slug, display_name, description, revision, create_time, update_time) \
                 SELECT id, id, 'shadow', 'S', '', 1, 5, 5 FROM tenant WHERE slug = 'acme'",
                "role of tenants/acme/roles/shadow",
            ),
            (
                "INSERT INTO duty_grant (scope_id, id, scope_kind, principal_id, duty, create_time) \
                 SELECT scope_id, id, 'tenant', id, 'owner', 5 FROM principal WHERE slug = 'maria'",
                "duty_grant of tenants/acme/dutyGrants/",
            ),
        ] {
            let before = named(&acme(&world).await);
            assert_eq!(sql(kernel, edit).await, 1, "{edit}");
            let after = acme(&world).await;
            assert!(after.is_new, "{edit}: every change of what is found is raised");
            let new: Vec<_> = named(&after).into_iter().filter(|d| !before.contains(d)).collect();
            assert!(new.len() == 1 && new[0].starts_with(found), "{edit}: {new:?}");
        }
    }

    async fn a_lost_event_is_found_whether_or_not_the_tables_show_it(site: Site) {
        let world = peopled(site).await;
        let (kernel, owner) = (world.site.kernel(), &world.owner);
        events(owner, world::ACME, "").await;
        world.site.running.sequencer.stop().await;
        let update = |name: &str| json!({"role": {"name": "tenants/acme/roles/clerk", "displayName": name}});
        for name in ["One", "Two", "Three"] {
            raw::json(owner, "provost.role.v1.RoleService/UpdateRole", update(name)).await.unwrap();
        }
        assert!(acme(&world).await.agrees(), "what waits for its index counts");
        // the last one: the table has more than the log says
        assert_eq!(sql(kernel, "DELETE FROM audit_pending WHERE entry LIKE '%\"n\":\"Three\"%'").await, 1);
        let fields = ["display_name", "revision"].map(|f| format!("role.{f} of tenants/acme/roles/clerk"));
        assert_eq!(named(&acme(&world).await), fields);
        // one in between: nothing of it is left in the table, and it is missed
        raw::json(owner, "provost.role.v1.RoleService/UpdateRole", update("Four")).await.unwrap();
        let report = acme(&world).await;
        assert_eq!(named(&report), ["role.revision of tenants/acme/roles/clerk"], "{report:#?}");
        assert!(report.differences[0].recorded.contains("no event that leads on from revision 3"), "{report:#?}");
        // the beginning of something that has ended
        staff::give(owner, "banker", "principals/maria").await;
        staff::take(owner, "banker", "principals/maria").await;
        assert_eq!(sql(kernel, "DELETE FROM audit_pending WHERE entry LIKE '%\"act\":\"role.add_member\"%'").await, 1);
        let found = acme(&world).await;
        let orphan = found.differences.iter().find(|d| d.table == "role_member").unwrap();
        assert_eq!(orphan.recorded, "an end without a beginning");
    }

    async fn a_divergence_is_raised_once_and_again_when_it_changes_or_comes_back(site: Site) {
        let world = peopled(site).await;
        let kernel = world.site.kernel();
        let raised = async || {
            let found = events(&world.owner, world::ACME, "event_class = system").await;
            found.into_iter().map(|e| e.action).collect::<Vec<_>>()
        };
        let suspend = "UPDATE principal SET state = 'suspended' WHERE slug = 'maria'";
        let resume = "UPDATE principal SET state = 'active' WHERE slug = 'maria'";
        sql(kernel, suspend).await;
        assert_eq!([acme(&world).await.is_new, acme(&world).await.is_new], [true, false]);
        assert_eq!(raised().await, ["audit.divergence"]);
        // another process, or this one after a start, knows it from the log
        assert!(!reconcile(kernel, id(&world, world::ACME).await).await.unwrap().is_new);
        sql(kernel, "UPDATE principal SET email = 'a@x.example' WHERE slug = 'maria'").await;
        assert!(acme(&world).await.is_new);
        sql(kernel, "UPDATE principal SET email = 'b@x.example' WHERE slug = 'maria'").await;
        assert!(acme(&world).await.is_new, "another address is another difference");
        sql(kernel, "UPDATE principal SET email = 'maria@acme.example' WHERE slug = 'maria'").await;
        sql(kernel, resume).await;
        assert!(acme(&world).await.agrees());
        assert!(acme(&world).await.agrees());
        sql(kernel, suspend).await;
        assert!(acme(&world).await.is_new);
        let all = ["audit.divergence", "audit.agreement", "audit.divergence", "audit.divergence", "audit.divergence"];
        assert_eq!(raised().await, all, "newest first");
        let newest = &events(&world.owner, world::ACME, "action = \"audit.divergence\"").await[0];
        assert_eq!((newest.actor.as_str(), newest.targets.as_slice()), ("system", &["tenants/acme/auditLog".to_owned()][..]));
        let change = |field: &str| {
            let found = newest.changes.iter().find(|c| c.field == field).unwrap();
            serde_json::from_str::<Value>(&found.new_value).unwrap()
        };
        assert_eq!(change("/count"), json!(1));
        let expected = "principal.state of tenants/acme/principals/maria: the table has `suspended`, the log says `active`";
        assert_eq!(change("/differences"), json!([expected]));
    }

    async fn an_erased_person_agrees_and_one_who_is_not_blanked_does_not(site: Site) {
        let world = peopled(site).await;
        let (kernel, maria) = (world.site.kernel(), "tenants/acme/principals/maria");
        raw::json(&world.owner, "provost.principal.v1.PrincipalService/DeletePrincipal", json!({"name": maria})).await.unwrap();
        let erase = json!({"principal": maria, "reason": "her request"});
        raw::json(&world.owner, "provost.retention.v1.RetentionService/EraseSubject", erase).await.unwrap();
        let report = acme(&world).await;
        assert!(report.agrees(), "{report:#?}");
        sql(kernel, "UPDATE principal SET email = 'maria@acme.example' WHERE slug = 'maria'").await;
        assert_eq!(named(&acme(&world).await), ["principal.email of tenants/acme/principals/maria"]);
    }

    async fn a_rule_agrees_also_when_whoever_gave_its_reason_is_erased(site: Site) {
        let world = peopled(site).await;
        let found = events(&world.owner, world::ACME, "action = entitlement.create").await;
        assert!(!found[0].entry.contains("asked for it"), "{}", found[0].entry);
        let reason = |events: &[proto::audit::v1::AuditEvent]| {
            events[0].changes.iter().find(|c| c.field == "/reason").unwrap().new_value.clone()
        };
        assert_eq!(reason(&found), "\"Maria asked for it\"", "who may read it is shown it");
        let admin = "tenants/acme/principals/admin";
        raw::json(&world.owner, "provost.principal.v1.PrincipalService/DeletePrincipal", json!({"name": admin})).await.unwrap();
        let erase = json!({"principal": admin, "reason": "his request"});
        raw::json(&world.owner, "provost.retention.v1.RetentionService/EraseSubject", erase).await.unwrap();
        let found = events(&world.owner, world::ACME, "action = entitlement.create").await;
        assert_eq!(reason(&found), "\"(erased)\"");
        let report = acme(&world).await;
        assert!(report.agrees(), "{report:#?}");
    }

    async fn the_job_looks_at_every_scope_and_counts_what_is_new(site: Site) {
        let world = peopled(site).await;
        let kernel = world.site.kernel();
        let telemetry = Telemetry::quiet().unwrap();
        let mut job = Job::new(kernel, &telemetry.meter());
        let lines = || {
            let text = telemetry.metrics_text().unwrap();
            let mut found: Vec<_> = text.lines().filter(|l| l.starts_with("provost_audit_divergence_total")).map(str::to_owned).collect();
            found.sort();
            found
        };
        job.run().await;
        assert_eq!(lines().len(), 1, "{:?}", lines());
        for sql_text in [
            "UPDATE principal SET state = 'suspended' WHERE slug = 'auditor'",
            "UPDATE principal SET display_name = 'X' WHERE slug = 'boss'",
            "DELETE FROM entitlement",
        ] {
            assert!(sql(kernel, sql_text).await > 0);
        }
        job.run().await;
        job.run().await;
        // the platform, both partners and acme, each once
        let text = lines().join("\n");
        for scope in ["platform", "partners/northwind", "partners/contoso", "tenants/acme"] {
            let line = lines().into_iter().find(|l| l.contains(&format!("scope=\"{scope}\""))).unwrap_or_else(|| panic!("{scope}: {text}"));
            assert!(line.ends_with(" 1"), "{line}");
        }
        assert_eq!(lines().len(), 5, "{text}");
        // what it keeps of a log from one run to the next is as good as the log
        world.role("trader").await;
        sql(kernel, "UPDATE role SET description = 'x' WHERE slug = 'trader'").await;
        job.run().await;
        let line = lines().into_iter().find(|l| l.contains("tenants/acme")).unwrap();
        assert!(line.ends_with(" 2"), "{line}");
    }

    async fn the_command_prints_what_differs_and_ends_with_three(site: Site) {
        let world = peopled(site).await;
        let (_, dir, url, _) = world.site.stop().await;
        let run = |args: &[&str]| {
            let mut command = process::command("provostd");
            command.args(["audit", "reconcile", "--data-dir"]).arg(dir.path()).args(args);
            command.env("PROVOST__DATABASE__URL", &url).output().unwrap()
        };
        let agrees = run(&[]);
        let text = String::from_utf8(agrees.stdout).unwrap();
        assert_eq!(agrees.status.code(), Some(0), "{text} {}", String::from_utf8_lossy(&agrees.stderr));
        for scope in ["platform: ", "partners/northwind: ", "tenants/acme: ", "tenants/globex: "] {
            assert!(text.lines().any(|l| l.starts_with(scope) && l.contains("rows agree with")), "{scope}: {text}");
        }
        let config = tests::site::config(&[
            ("server.data_dir", dir.path().display().to_string()), ("database.url", url.clone()),
        ]);
        let db = kernel::db::Db::open(&config).await.unwrap();
        let mut tx = db.begin_derived();
        kernel::execute!(&mut tx, sqlx::query("UPDATE entitlement SET effect = 'required'")).unwrap();
        tx.finish().await.unwrap();
        db.close().await;
        drop(db);
        let differs = run(&["--scope", "tenants/acme"]);
        let text = String::from_utf8(differs.stdout).unwrap();
        assert_eq!(differs.status.code(), Some(3), "{text} {}", String::from_utf8_lossy(&differs.stderr));
        let lines: Vec<Vec<_>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[2], ["entitlement", "tenants/acme/entitlements/no", "effect", "`required`", "`denied`"]);
        assert_eq!(run(&["--scope", "tenants/globex"]).status.code(), Some(0));
        let unknown = run(&["--scope", "tenants/none"]);
        assert_eq!(unknown.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("tenants/none"));
    }
}
