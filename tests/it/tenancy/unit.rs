//! Departments: a tree that stays one.

use proto::unit::v1::Unit;
use tests::{
    World, both_engines,
    site::Caller,
    world::{self, ACME},
};
use tonic::Status;

use super::{CYCLE, ILLEGAL, IN_USE, MISSING, TAKEN, faults, ids, mask, principal, refused};

fn name(id: &str) -> String {
    world::child(ACME, "units", id)
}

/// Creates a unit below another one, or at the top.
pub async fn create(by: &Caller, id: &str, above: &str) -> Result<Unit, Status> {
    let parent_unit = if above.is_empty() { String::new() } else { name(above) };
    let new = Unit { display_name: id.to_owned(), parent_unit, ..Default::default() };
    ask!(by, unit.create_unit, CreateUnitRequest { parent: ACME, unit_id: id, unit: new })
}

/// Moves a unit below another one, or to the top.
pub async fn place(by: &Caller, id: &str, above: &str) -> Result<Unit, Status> {
    let parent_unit = if above.is_empty() { String::new() } else { name(above) };
    let new = Unit { name: name(id), parent_unit, ..Default::default() };
    ask!(by, unit.update_unit, UpdateUnitRequest { unit: new, update_mask: mask(&["parent_unit"]) })
}

async fn get(by: &Caller, id: &str) -> Result<Unit, Status> {
    ask!(by, unit.get_unit, GetUnitRequest { name: name(id) })
}

async fn delete(by: &Caller, id: &str) -> Result<Unit, Status> {
    ask!(by, unit.delete_unit, DeleteUnitRequest { name: name(id) })
}

async fn undelete(by: &Caller, id: &str) -> Result<Unit, Status> {
    ask!(by, unit.undelete_unit, UndeleteUnitRequest { name: name(id) })
}

async fn list(by: &Caller, filter: &str, show_deleted: bool) -> Vec<String> {
    let page = ask!(
        by,
        unit.list_units,
        ListUnitsRequest { parent: ACME, filter: filter, order_by: "unit_id", show_deleted: show_deleted }
    );
    ids(page.unwrap().units.iter().map(|u| &u.name))
}

/// `{prefix}1` above `{prefix}2` above …, `n` units below `above`.
async fn chain(by: &Caller, prefix: &str, n: usize, above: &str) {
    let mut above = above.to_owned();
    for i in 1..=n {
        let id = format!("{prefix}{i}");
        create(by, &id, &above).await.unwrap();
        above = id;
    }
}

both_engines! {
    async fn units_form_a_tree_that_is_listed_by_parent(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        let made = create(by, "hq", "").await.unwrap();
        assert_eq!((made.name, made.parent_unit.as_str()), (name("hq"), ""));
        let sales = create(by, "sales", "hq").await.unwrap();
        assert_eq!(sales.parent_unit, name("hq"));
        assert_eq!(get(by, "sales").await.unwrap(), sales);
        create(by, "emea", "sales").await.unwrap();
        create(by, "legal", "hq").await.unwrap();
        assert_eq!(list(by, "", false).await, ["emea", "hq", "legal", "sales"]);
        assert_eq!(list(by, "parent_unit_id = hq", false).await, ["legal", "sales"]);
        let moved = place(by, "emea", "legal").await.unwrap();
        assert_eq!(moved.parent_unit, name("legal"));
        assert_eq!(list(by, "parent_unit_id = legal", false).await, ["emea"]);
        assert_eq!(place(by, "emea", "").await.unwrap().parent_unit, "");
        assert_eq!(get(by, "emea").await.unwrap().parent_unit, "");
        refused(create(by, "hq", "").await, TAKEN);
        refused(create(by, "x", "nowhere").await, MISSING);
        refused(place(by, "emea", "nowhere").await, MISSING);
        refused(get(by, "nowhere").await, MISSING);
        refused(create(&world.stranger, "x", "").await, MISSING);
    }

    async fn a_units_words_fit_their_limits_and_can_be_cleared(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        let make = async |id: &str, display_name: String, cost_center: String, parent_unit: &str| {
            let unit = Unit { display_name, cost_center, parent_unit: parent_unit.to_owned(), ..Default::default() };
            ask!(by, unit.create_unit, CreateUnitRequest { parent: ACME, unit_id: id, unit: unit })
        };
        let both = faults(make("a", String::new(), "c".repeat(65), "").await);
        assert_eq!(both, ["unit.display_name", "unit.cost_center"]);
        assert_eq!(faults(make("A", "a".to_owned(), String::new(), "").await), ["unit_id"]);
        assert_eq!(faults(make("a", "a".to_owned(), String::new(), "hq").await), ["unit.parent_unit"]);
        refused(make("a", "a".to_owned(), String::new(), "tenants/globex/units/hq").await, MISSING);
        make("a", "é".repeat(128), "c".repeat(64), "").await.unwrap();
        create(by, "hq", "").await.unwrap();
        place(by, "a", "hq").await.unwrap();
        // without a mask what is set changes, and with one what it names, also to nothing
        let change = async |display_name: &str, cost_center: &str, paths: &[&str]| {
            let unit = Unit {
                name: name("a"),
                display_name: display_name.to_owned(),
                cost_center: cost_center.to_owned(),
                ..Default::default()
            };
            let changed = ask!(by, unit.update_unit, UpdateUnitRequest { unit: unit, update_mask: mask(paths) })?;
            Ok::<_, Status>((changed.display_name, changed.cost_center, changed.parent_unit))
        };
        let now = |d: &str, c: &str, p: &str| (d.to_owned(), c.to_owned(), p.to_owned());
        assert_eq!(change("A", "", &[]).await.unwrap(), now("A", &"c".repeat(64), &name("hq")));
        assert_eq!(change("B", "", &["cost_center"]).await.unwrap(), now("A", "", &name("hq")));
        assert_eq!(change("B", "4711", &["*"]).await.unwrap(), now("B", "4711", ""), "everything, the place too");
        assert_eq!(faults(change("", "1", &["*"]).await), ["unit.display_name"]);
        assert_eq!(faults(change("C", "", &["display_name", "uid"]).await), ["update_mask"]);
        assert_eq!(get(by, "a").await.unwrap().display_name, "B");
    }

    async fn a_unit_is_never_below_itself(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        chain(by, "u", 4, "").await;
        for below in ["u1", "u2", "u3", "u4"] {
            refused(place(by, "u1", below).await, CYCLE);
        }
        refused(place(by, "u3", "u4").await, CYCLE);
        assert_eq!(get(by, "u1").await.unwrap().parent_unit, "");
        place(by, "u4", "u1").await.unwrap();
        place(by, "u3", "u4").await.unwrap();
    }

    async fn two_opposite_moves_at_once_never_close_a_circle(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        for (id, above) in [("a", ""), ("b", ""), ("a-child", "a"), ("b-child", "b")] {
            create(by, id, above).await.unwrap();
        }
        // each below the other, and each below the other's child, where the two touch no unit in common
        for (below_b, below_a) in [("b", "a"), ("b-child", "a-child")] {
            for round in 0..15 {
                let (left, right) = tokio::join!(place(by, "a", below_b), place(by, "b", below_a));
                assert!(left.is_ok() != right.is_ok(), "round {round}: {left:?} {right:?}");
                refused(left.and(right), CYCLE);
                place(by, "a", "").await.unwrap();
                place(by, "b", "").await.unwrap();
            }
        }
    }

    async fn the_tree_is_sixteen_deep_and_not_seventeen(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        chain(by, "u", 16, "").await;
        refused(create(by, "u17", "u16").await, CYCLE);
        refused(get(by, "u17").await, MISSING);
        // a branch counts with all that hangs on it, deleted units too: they may come back
        chain(by, "b", 3, "").await;
        refused(place(by, "b1", "u14").await, CYCLE);
        place(by, "b1", "u13").await.unwrap();
        place(by, "b1", "").await.unwrap();
        delete(by, "b3").await.unwrap();
        refused(place(by, "b1", "u14").await, CYCLE);
        refused(create(by, "c", "u16").await, CYCLE);
        create(by, "c", "u15").await.unwrap();
    }

    async fn a_unit_in_use_stays(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        chain(by, "u", 2, "").await;
        refused(delete(by, "u1").await, IN_USE);
        let person = principal::person("maria", "", &name("u2"));
        let maria = world::principal(by, ACME, "maria", person).await.unwrap().name;
        refused(delete(by, "u2").await, IN_USE);
        // the deleted do not hold it
        ask!(by, principal.delete_principal, DeletePrincipalRequest { name: maria.clone() }).unwrap();
        delete(by, "u2").await.unwrap();
        assert_eq!(delete(by, "u1").await.unwrap().name, name("u1"));
        assert!(list(by, "", false).await.is_empty());
        assert_eq!(list(by, "", true).await, ["u1", "u2"]);
        refused(delete(by, "u1").await, ILLEGAL);
        refused(place(by, "u1", "").await, ILLEGAL);
        refused(create(by, "u1", "").await, TAKEN);
        assert!(get(by, "u1").await.unwrap().delete_time.is_some());
        // and come back only to what lives
        refused(undelete(by, "u2").await, ILLEGAL);
        refused(ask!(by, principal.undelete_principal, UndeletePrincipalRequest { name: maria.clone() }), ILLEGAL);
        refused(create(by, "x", "u1").await, ILLEGAL);
        create(by, "x", "").await.unwrap();
        refused(place(by, "x", "u1").await, ILLEGAL);
        undelete(by, "u1").await.unwrap();
        refused(undelete(by, "u1").await, ILLEGAL);
        assert_eq!(undelete(by, "u2").await.unwrap().parent_unit, name("u1"));
        let back = ask!(by, principal.undelete_principal, UndeletePrincipalRequest { name: maria }).unwrap();
        assert_eq!(back.unit, name("u2"));
    }

    async fn a_unit_and_what_comes_into_it_never_miss_each_other(site: Site) {
        let world = World::build(site).await;
        let by = &world.owner;
        for n in 0..12 {
            let (unit, child) = (format!("u{n}"), format!("c{n}"));
            create(by, &unit, "").await.unwrap();
            let person = principal::person("somebody", "", &name(&unit));
            let comes = async {
                if n % 2 == 0 {
                    create(by, &child, &unit).await.map(drop)
                } else {
                    world::principal(by, ACME, &child, person).await.map(drop)
                }
            };
            let (gone, come) = tokio::join!(delete(by, &unit), comes);
            match (gone, come) {
                (Ok(_), late) => drop(refused(late, ILLEGAL)),
                (late, Ok(())) => drop(refused(late, IN_USE)),
                (Err(a), Err(b)) => panic!("both lost: {a}, {b}"),
            }
        }
    }
}
