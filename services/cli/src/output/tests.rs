use std::collections::BTreeSet;

use prost_types::Timestamp;
use proto::{
    decision::v1::Decision,
    partner::v1::{Portfolio, PortfolioStage},
    role::v1::{ListRolesResponse, Role},
    tenant::v1::{Contract, ContractSeats, Renewal, Tenant, TenantState},
    usage::v1::{ListPortfolioAdoptionResponse, QueryUsageResponse, TenantAdoption, UsageRow},
};

use super::{types::columns, *};

fn one(message: &impl Named) -> Answer {
    Answer::One(reflect(message).unwrap())
}

fn tenant() -> Tenant {
    Tenant {
        name: "tenants/acme".to_owned(),
        partner: "partners/northwind".to_owned(),
        display_name: "Acme".to_owned(),
        state: TenantState::Contracted.into(),
        contract: Some(Contract {
            signed_date: "2026-11-01".to_owned(),
            currency: "EUR".to_owned(),
            seats: vec![
                ContractSeats { pool: "standard".to_owned(), count: 100, monthly_price_minor: 3000 },
                ContractSeats { pool: "pro".to_owned(), count: 5, monthly_price_minor: 9000 },
            ],
            renewal: Renewal::Manual.into(),
            ..Contract::default()
        }),
        create_time: Some(Timestamp { seconds: 1_793_773_800, nanos: 5_000 }),
        etag: "e1".to_owned(),
        ..Tenant::default()
    }
}

fn roles() -> ListRolesResponse {
    let role = |id: &str, included: &[&str]| Role {
        name: format!("tenants/acme/roles/{id}"),
        display_name: id.to_uppercase(),
        included_roles: included.iter().map(|r| format!("tenants/acme/roles/{r}")).collect(),
        ..Role::default()
    };
    ListRolesResponse {
        roles: vec![role("banker", &["sales", "analyst"]), role("sales", &[])],
        next_page_token: "abc".to_owned(),
    }
}

#[test]
fn one_thing_is_a_card() {
    insta::assert_snapshot!(one(&tenant()).text(Format::Table).unwrap(), @"
    name                  tenants/acme
    partner               partners/northwind
    display_name          Acme
    state                 CONTRACTED
    contract.signed_date  2026-11-01
    contract.currency     EUR
    contract.seats        pool=standard count=100 monthly_price_minor=3000
                          pool=pro count=5 monthly_price_minor=9000
    contract.renewal      MANUAL
    create_time           2026-11-04T06:30:00Z
    etag                  e1
    ");
}

#[test]
fn a_list_is_a_table_without_empty_columns() {
    let answer = one(&roles());
    insta::assert_snapshot!(answer.text(Format::Table).unwrap(), @"
    NAME                       DISPLAY NAME  INCLUDED ROLES
    tenants/acme/roles/banker  BANKER        tenants/acme/roles/sales, tenants/acme/roles/analyst
    tenants/acme/roles/sales   SALES
    ");
    assert_eq!(answer.notes(Format::Table), ["there is more: repeat with --page-token abc, or with --all"]);
    assert!(answer.notes(Format::Json).is_empty());
}

#[test]
fn figures_stand_right_and_zero_is_a_figure() {
    let rows = [("LIVE", 12), ("PILOT", 0)].map(|(stage, tenants)| PortfolioStage {
        stage: stage.to_owned(),
        tenants,
        seats_contracted: 1_000 * tenants,
        weekly_active_principals: 7 * tenants,
    });
    let portfolio = Portfolio { name: "partners/northwind".to_owned(), stages: rows.to_vec() };
    insta::assert_snapshot!(one(&portfolio).text(Format::Table).unwrap(), @"
    STAGE  TENANTS  SEATS CONTRACTED  WEEKLY ACTIVE PRINCIPALS
    LIVE        12             12000                        84
    PILOT        0                 0                         0
    ");
}

#[test]
fn a_figure_that_is_not_told_is_no_zero() {
    let client = |id: &str, growth_basis_points| TenantAdoption {
        tenant: format!("tenants/{id}"),
        growth_basis_points,
        ..TenantAdoption::default()
    };
    let page = ListPortfolioAdoptionResponse {
        tenants: vec![client("acme", None), client("zeta", Some(0))],
        ..Default::default()
    };
    let text = one(&page).text(Format::Table).unwrap();
    let last: Vec<_> = text.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(text.lines().map(|line| line.matches('0').count()).collect::<Vec<_>>(), [0, 4, 5], "{text}");
    assert_eq!(last, ["POINTS", "0", "0"]);
}

#[test]
fn usage_says_how_complete_it_is() {
    let row = UsageRow {
        meter: "tokens.input".to_owned(),
        unit: "tokens".to_owned(),
        value: 42,
        decimal_value: "42".to_owned(),
        version: 1,
        role: "tenants/acme/roles/banker".to_owned(),
        ..UsageRow::default()
    };
    let through = Some(Timestamp { seconds: 1_793_773_800, nanos: 0 });
    let answer =
        one(&QueryUsageResponse { rows: vec![row], complete_through: through, ..Default::default() });
    insta::assert_snapshot!(answer.text(Format::Table).unwrap(), @"
    ROLE                       METER         VERSION  DECIMAL VALUE  UNIT
    tenants/acme/roles/banker  tokens.input        1  42             tokens
    ");
    assert_eq!(answer.notes(Format::Table), ["complete through: 2026-11-04T06:30:00Z", "tail events: 0"]);
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let answer = one(&ListRolesResponse::default());
    assert_eq!(answer.text(Format::Table).unwrap(), "");
    assert_eq!(answer.notes(Format::Table), ["nothing found"]);
    assert_eq!(Answer::All(Vec::new()).notes(Format::Table), ["nothing found"]);
    assert_eq!(Answer::All(Vec::new()).text(Format::Json).unwrap(), "[]\n");
}

#[test]
fn json_is_canonical_and_keeps_a_no() {
    insta::assert_snapshot!(one(&Decision::default()).text(Format::Json).unwrap(), @r#"
    {
      "allowed": false,
      "reason": "DECISION_REASON_UNSPECIFIED",
      "effect": "EFFECT_UNSPECIFIED",
      "entitlements": [],
      "revisionToken": ""
    }
    "#);
    let value: serde_json::Value = serde_json::from_str(&one(&tenant()).text(Format::Json).unwrap()).unwrap();
    assert_eq!(value["contract"]["seats"][0]["count"], "100");
    assert_eq!(value["createTime"], "2026-11-04T06:30:00.000005Z");
    assert_eq!(value.get("deleteTime"), None);
}

#[test]
fn all_pages_are_one_array_of_items() {
    let all = Answer::All(items(&reflect(&roles()).unwrap()));
    let value: serde_json::Value = serde_json::from_str(&all.text(Format::Json).unwrap()).unwrap();
    assert_eq!(value.as_array().unwrap().len(), 2);
    assert_eq!(value[1]["displayName"], "SALES");
}

#[test]
fn yaml_says_the_same_as_json() {
    let answer = one(&tenant());
    let json: serde_json::Value = serde_json::from_str(&answer.text(Format::Json).unwrap()).unwrap();
    let yaml: serde_json::Value = serde_norway::from_str(&answer.text(Format::Yaml).unwrap()).unwrap();
    assert_eq!(yaml, json);
    assert!(
        answer.text(Format::Yaml).unwrap().starts_with("name: tenants/acme\npartner: partners/northwind\n")
    );
}

#[test]
fn foreign_text_cannot_drive_the_terminal() {
    let evil =
        Role { name: "n".to_owned(), display_name: "a\u{1b}[31m\nb\u{9b}".to_owned(), ..Role::default() };
    let text = one(&evil).text(Format::Table).unwrap();
    assert!(text.contains("a\\u{1b}[31m\\nb\\u{9b}"), "{text}");
    assert_eq!(text.lines().count(), 2);
}

/// Every answer of the API can be shown: a list has columns, and every column is a field.
#[test]
fn every_answer_of_the_api_has_a_form() {
    let mut listed = BTreeSet::new();
    for method in pool().unwrap().services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
        let output = method.output();
        let list = table::list_field(&output);
        // names alone need no columns
        let names = output.fields().any(|f| f.is_list() && f.kind() == prost_reflect::Kind::String);
        assert!(
            list.is_some() || names || !method.name().starts_with("List"),
            "{} has no columns",
            output.full_name()
        );
        let Some(field) = list else { continue };
        let prost_reflect::Kind::Message(item) = field.kind() else { panic!("{}", field.full_name()) };
        for column in columns(item.full_name()) {
            assert!(item.get_field_by_name(column).is_some(), "{} has no {column}", item.full_name());
        }
        listed.insert(item.full_name().to_owned());
    }
    for item in ["provost.tenant.v1.Tenant", "provost.usage.v1.UsageRow", "provost.partner.v1.PortfolioStage"]
    {
        assert!(listed.contains(item), "{item}");
    }
}
