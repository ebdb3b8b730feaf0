use super::*;

fn patch() -> MeterPatch {
    MeterPatch {
        event_type: Some("report".to_owned()),
        aggregation: Some("SUM".to_owned()),
        value_path: Some("data.values.pages".to_owned()),
        unit: Some("pages".to_owned()),
        ..MeterPatch::default()
    }
}

#[test]
fn keys_of_built_in_meters_and_of_their_groups_are_taken() {
    for bad in
        ["", "Pages", "tokens.input", "tokens.mine", "tokens", "sessions", "cost.eur", "a/b", "lines_of_code"]
    {
        assert!(new_key(bad).is_err(), "{bad}");
    }
    for good in ["pages", "reports.pages", "session.length", "tokens_mine", "acme.tokens.input"] {
        assert!(new_key(good).is_ok(), "{good}");
    }
}

#[test]
fn an_aggregation_takes_what_it_can_count() {
    let some = |text: &str| Some(text.to_owned());
    for (aggregation, path, scale, ok) in [
        ("SUM", "data.value", 9, true),
        ("SUM", "data.value", 10, false),
        ("SUM", "data.value", -1, false),
        ("AVG", "data.values.x", 2, true),
        ("MAX", "", 0, false),
        ("MIN", "principal", 0, false),
        ("LATEST", "data.values.", 0, false),
        ("LATEST", "values.x", 0, false),
        ("COUNT", "", 0, true),
        ("COUNT", "data.value", 0, false),
        ("COUNT", "", 1, false),
        ("UNIQUE_COUNT", "principal", 0, true),
        ("UNIQUE_COUNT", "data.dims.x", 0, false),
        ("sum", "data.value", 0, false),
    ] {
        let patch = MeterPatch {
            aggregation: some(aggregation),
            value_path: some(path),
            scale: Some(scale),
            ..patch()
        };
        assert_eq!(Definition::default().patched(patch).is_ok(), ok, "{aggregation} {path} {scale}");
    }
}

#[test]
fn dimensions_are_few_named_once_and_not_those_of_every_meter() {
    let with = |dims: &[&str]| {
        let dims = Some(dims.iter().map(ToString::to_string).collect());
        Definition::default().patched(MeterPatch { dims, ..patch() })
    };
    assert_eq!(with(&["b", "a"]).unwrap().dims(), ["b", "a"]);
    let many: Vec<_> = (0..17).map(|n| n.to_string()).collect();
    for bad in [
        &["a", "a"][..],
        &[""],
        &["client"],
        &[&"x".repeat(129)],
        &many.iter().map(String::as_str).collect::<Vec<_>>(),
    ] {
        assert!(with(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_value_path_is_written_as_it_is_read() {
    for text in ["", "principal", "data.value", "data.values.a.b"] {
        assert_eq!(value_path(text).map(|path| path.text()).as_deref(), Some(text));
    }
}
