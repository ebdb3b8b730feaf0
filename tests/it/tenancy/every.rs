//! What holds for every RPC of the slice alike, read off the contract itself.

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use tests::{
    World, both_engines, raw,
    site::Caller,
    world::{self, ACME},
};
use tonic::{Code, Status};

use super::{INVALID, MISSING, REUSED, STALE, faults, group, refused, unit};
use crate::{audit::events, errors::reason};

const NOUNS: [&str; 6] = ["partner", "tenant", "unit", "principal", "group", "role"];

/// The RPCs of the slice with their nouns.
fn methods() -> Vec<(&'static str, MethodDescriptor)> {
    let noun =
        |m: &MethodDescriptor| NOUNS.into_iter().find(|n| raw::path(m).starts_with(&format!("provost.{n}.")));
    raw::methods().into_iter().filter_map(|m| noun(&m).map(|n| (n, m))).collect()
}

/// The RPC of a standard method: `standard("Delete", "unit")`.
pub fn standard(verb: &str, noun: &str) -> MethodDescriptor {
    let wanted = format!("{verb}{noun}").to_lowercase();
    methods().into_iter().find(|(_, m)| m.name().to_lowercase() == wanted).unwrap().1
}

/// A living resource of each noun that nothing else needs.
fn living(noun: &str) -> String {
    match noun {
        "partner" => "partners/idle".to_owned(),
        "tenant" => "tenants/initech".to_owned(),
        _ => format!("{ACME}/{noun}s/one"),
    }
}

/// A request with text in those of the fields that it has, also in fields of fields: `("unit.name", "…")`.
pub fn request(method: &MethodDescriptor, texts: &[(&str, &str)]) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.input());
    for (path, text) in texts {
        let text = Value::String((*text).to_owned());
        match path.split_once('.') {
            Some((outer, inner)) => {
                let inside = message.get_field_by_name_mut(outer).and_then(Value::as_message_mut).unwrap();
                inside.set_field_by_name(inner, text);
            }
            None if has(method, path) => message.set_field_by_name(path, text),
            None => {}
        }
    }
    message
}

fn has(method: &MethodDescriptor, field: &str) -> bool {
    method.input().get_field_by_name(field).is_some()
}

fn dry(mut message: DynamicMessage) -> DynamicMessage {
    message.set_field_by_name("validate_only", Value::Bool(true));
    message
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).unwrap().as_str().unwrap().to_owned()
}

async fn get(by: &Caller, noun: &str) -> DynamicMessage {
    let method = standard("Get", noun);
    raw::call(by, &method, request(&method, &[("name", &living(noun))])).await.unwrap()
}

/// A world with one living resource of each noun beside it.
async fn furnished(site: tests::Site) -> World {
    let world = World::build(site).await;
    world::partner(&world.admin, "idle").await;
    world::tenant(&world.admin, "initech", world::NORTHWIND).await.unwrap();
    unit::create(&world.owner, "one", "").await.unwrap();
    world::user(&world.owner, ACME, "one").await;
    group::create(&world.owner, "one").await.unwrap();
    world.role("one").await;
    world
}

/// A request that aims at `name`, wherever this RPC takes its name; `None` when it takes none.
fn aimed(noun: &str, method: &MethodDescriptor, name: &str, parent: &str) -> Option<DynamicMessage> {
    let inner = format!("{noun}.name");
    let rest = [("member", "tenants/acme/principals/one"), ("included_role", "tenants/acme/roles/one")];
    let aim = match method.name() {
        "CreateTenant" => ("tenant.partner", parent),
        _ if has(method, "parent") => {
            let of_a_tenant = !method.name().ends_with("Members");
            ("parent", if of_a_tenant { parent } else { name })
        }
        _ if has(method, "name") => ("name", name),
        _ if method.name().starts_with("Update") => (inner.as_str(), name),
        _ => return None,
    };
    Some(request(method, &[&[aim][..], &rest].concat()))
}

both_engines! {
    async fn whatever_takes_an_etag_refuses_a_stale_one_and_takes_a_fresh_one(site: Site) {
        let world = furnished(site).await;
        let mut probed = 0;
        for (noun, method) in methods() {
            let inner = [format!("{noun}.name"), format!("{noun}.etag"), format!("{noun}.display_name")];
            let update = method.name().starts_with("Update");
            if !update && !has(&method, "etag") {
                continue;
            }
            let fields = if update { [&*inner[0], &*inner[1], &*inner[2]] } else { ["name", "etag", "-"] };
            let name = living(noun);
            let ask = |etag: &str| request(&method, &[(fields[0], &name), (fields[1], etag), (fields[2], "New")]);
            let before = get(&world.admin, noun).await;
            for etag in ["r0", "r999", "x"] {
                refused(raw::call(&world.admin, &method, ask(etag)).await, STALE);
            }
            assert_eq!(get(&world.admin, noun).await, before);
            // with the etag last read it comes as far as the state
            let answer = raw::call(&world.admin, &method, dry(ask(&text(&before, "etag")))).await;
            match answer {
                Ok(_) => assert!(!method.name().starts_with("Undelete")),
                Err(e) if method.name() == "ContractTenant" => assert_eq!(reason(&e), "INVALID_FIELD"),
                Err(e) => assert_eq!(reason(&e), "ILLEGAL_STATE", "{}", method.name()),
            }
            probed += 1;
        }
        assert_eq!(probed, 26);
    }

    async fn what_is_not_there_is_not_found_and_what_is_no_name_is_said_to_be_none(site: Site) {
        let world = furnished(site).await;
        let mut probed = 0;
        for (noun, method) in methods() {
            let none = living(noun).replace("/one", "/none").replace("idle", "none").replace("initech", "none");
            let parent = if method.name() == "CreateTenant" { "partners/none" } else { "tenants/none" };
            let Some(message) = aimed(noun, &method, &none, parent) else { continue };
            refused(raw::call(&world.admin, &method, message).await, MISSING);
            for bad in ["nonsense", "nonsense/x", &format!("{none}/"), "tenants/../units/x", "tenants/acme/units"] {
                let message = aimed(noun, &method, bad, bad).unwrap();
                let faults = faults(raw::call(&world.admin, &method, message).await);
                assert_eq!(faults.len(), 1, "{} `{bad}`", method.name());
            }
            probed += 1;
        }
        assert_eq!(probed, 50, "all but CreatePartner, ListPartners and ListTenants");
    }

    async fn a_malformed_request_id_is_refused_wherever_there_is_one(site: Site) {
        let world = furnished(site).await;
        let before = events(&world.admin, ACME, "").await.len();
        for (noun, method) in methods() {
            if has(&method, "request_id") {
                let mut message = aimed(noun, &method, &living(noun), ACME).unwrap_or_else(|| request(&method, &[]));
                message.set_field_by_name("request_id", Value::String("once".to_owned()));
                let answer = raw::call(&world.admin, &method, message).await;
                assert_eq!(faults(answer), ["request_id"], "{}", method.name());
            }
        }
        assert_eq!(events(&world.admin, ACME, "").await.len(), before);
    }

    async fn an_update_changes_what_its_mask_names_and_refuses_what_it_cannot_change(site: Site) {
        let world = furnished(site).await;
        for noun in NOUNS {
            let method = standard("Update", noun);
            let update = async |display_name: &str, paths: &[&str]| {
                let fields = [format!("{noun}.name"), format!("{noun}.display_name")];
                let mut message = request(&method, &[(&fields[0], &living(noun)), (&fields[1], display_name)]);
                let paths = Value::List(paths.iter().map(|p| Value::String((*p).to_owned())).collect());
                let mask = message.get_field_by_name_mut("update_mask").and_then(Value::as_message_mut);
                mask.unwrap().set_field_by_name("paths", paths);
                raw::call(&world.admin, &method, message).await
            };
            let before = get(&world.admin, noun).await;
            for path in ["nonsense", "", "name", "uid", "etag", "create_time", "delete_time", "state", "Display_name"] {
                assert_eq!(faults(update("New", &["display_name", path]).await), ["update_mask"], "{noun} `{path}`");
            }
            for paths in [&["display_name"][..], &["*"]] {
                assert_eq!(faults(update("", paths).await), [format!("{noun}.display_name")]);
            }
            assert_eq!(get(&world.admin, noun).await, before);
            let good = [&[][..], &["display_name"], &["*"], &["display_name", "display_name"]];
            for (n, paths) in good.into_iter().enumerate() {
                let name = format!("Name {n}");
                assert_eq!(text(&update(&name, paths).await.unwrap(), "display_name"), name);
                assert_eq!(text(&get(&world.admin, noun).await, "display_name"), name);
            }
        }
    }

    async fn a_delete_can_be_tried_and_repeated_and_is_done_once(site: Site) {
        let world = furnished(site).await;
        for (n, noun) in NOUNS.into_iter().enumerate() {
            for (m, verb) in ["Delete", "Undelete"].into_iter().enumerate() {
                let method = standard(verb, noun);
                let id = format!("0197f0a0-0000-7000-8000-0000000001{n}{m}");
                let name = living(noun);
                let ask = |etag: &str| request(&method, &[("name", &name), ("request_id", &id), ("etag", etag)]);
                let before = get(&world.admin, noun).await;
                let logged = events(&world.admin, "", "").await.len() + events(&world.admin, ACME, "").await.len();
                let shown = raw::call(&world.admin, &method, dry(ask(""))).await.unwrap();
                assert_eq!(shown.has_field_by_name("delete_time"), verb == "Delete");
                assert_eq!(get(&world.admin, noun).await, before, "{verb} {noun} was only tried");
                let then = events(&world.admin, "", "").await.len() + events(&world.admin, ACME, "").await.len();
                assert_eq!(then, logged);
                let done = raw::call(&world.admin, &method, ask("")).await.unwrap();
                assert_eq!(get(&world.admin, noun).await, done);
                assert_eq!(done, shown);
                assert_eq!(raw::call(&world.admin, &method, ask("")).await.unwrap(), done, "not refused as done twice");
                refused(raw::call(&world.admin, &method, ask("r1")).await, REUSED);
                assert_eq!(get(&world.admin, noun).await, done);
            }
        }
    }

    async fn every_list_filters_and_orders_by_what_the_contract_says(site: Site) {
        let world = furnished(site).await;
        let more = [
            &["partner_id"][..],
            &["tenant_id", "state", "partner_id"],
            &["unit_id", "parent_unit_id", "cost_center"],
            &["principal_id", "email", "kind", "state"],
            &["group_id", "external_id"],
            &["role_id", "description"],
        ];
        for (noun, own) in NOUNS.into_iter().zip(more) {
            let method = standard("List", &format!("{noun}s"));
            let list = async |filter: &str, order: &str, size: i32, token: &str| {
                let parent = if has(&method, "parent") { ACME } else { "" };
                let texts = [("parent", parent), ("filter", filter), ("order_by", order), ("page_token", token)];
                let mut message = request(&method, &texts);
                message.set_field_by_name("page_size", Value::I32(size));
                let page = raw::call(&world.admin, &method, message).await?;
                let rows = page.get_field_by_name(&format!("{noun}s")).unwrap().as_list().unwrap().to_vec();
                let names = rows.iter().map(|r| text(r.as_message().unwrap(), "name")).collect::<Vec<_>>();
                Ok::<_, Status>((names, text(&page, "next_page_token")))
            };
            let (all, _) = list("", "", 0, "").await.unwrap();
            let fields = [&["display_name", "create_time", "update_time"], own].concat();
            for field in &fields {
                let (every, no) = match *field {
                    "create_time" | "update_time" => ("> \"2026-01-01T00:00:00Z\"", "< \"2026-01-01T00:00:00Z\""),
                    "state" if noun == "tenant" => ("= PIPELINE", "= LIVE"),
                    "state" => ("= active", "= SUSPENDED"),
                    "kind" => ("!= AGENT", "= SERVICE"),
                    "display_name" => ("!= \"-\"", "= \"-\""),
                    f if f == own[0] => ("> \"a\"", ": \"/\""),
                    "partner_id" => (": \"o\"", "= idle"),
                    _ => ("= \"\"", "!= \"\""),
                };
                for (filter, expected) in [(format!("{field} {every}"), &all), (format!("{field} {no}"), &Vec::new())] {
                    assert_eq!(list(&filter, "", 0, "").await.unwrap().0, *expected, "{noun}: {filter}");
                }
                let sorted = !own[1..].contains(field);
                for order in [(*field).to_owned(), format!("{field} desc")] {
                    let mut page = list("", &order, 1, "").await;
                    if !sorted {
                        assert_eq!(faults(page), ["order_by"], "{noun} by {order}");
                        continue;
                    }
                    let mut seen = Vec::new();
                    loop {
                        let (names, token) = page.unwrap();
                        seen.extend(names);
                        if token.is_empty() {
                            break;
                        }
                        page = list("", &order, 1, &token).await;
                    }
                    seen.sort();
                    let mut expected = all.clone();
                    expected.sort();
                    assert_eq!(seen, expected, "{noun} by {order}");
                }
            }
            refused(list("colour = red", "", 0, "").await, (Code::InvalidArgument, "INVALID_FILTER"));
            refused(list("", "", 0, "garbage").await, (Code::InvalidArgument, "INVALID_PAGE_TOKEN"));
            refused(list("", "", -1, "").await, INVALID);
            assert_eq!(list("", "", 1_001, "").await.unwrap().0, all);
        }
    }
}
