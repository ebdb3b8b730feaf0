//! Rules about parts of plugins.

use proto::{decision::v1::DecisionReason as Reason, entitlement::v1::Effect};
use tests::{both_engines, market};

use super::{Bank, PLUGIN, check, rule};
use crate::errors::reason;

/// The plugin with two skills.
pub async fn with_parts(bank: &Bank) {
    let mut files = market::small(&["kit", "other"]);
    let skill = "---\nname: read\ndescription: Reads a report\n---\n";
    files.insert("plugins/kit/skills/read/SKILL.md".to_owned(), skill.into());
    files.insert("plugins/kit/skills/write/SKILL.md".to_owned(), skill.replace("read", "write").into());
    market::import(&bank.world.admin, &files).await.unwrap();
}

both_engines! {
    async fn a_rule_about_a_part_says_nothing_of_the_rest_and_a_denied_plugin_takes_its_parts_along(site: Site) {
        let bank = Bank::open(site).await;
        with_parts(&bank).await;
        let owner = &bank.world.owner;
        let [read, write] = ["read", "write"].map(|skill| format!("{PLUGIN}/skills/{skill}"));
        bank.add("may-read", rule("banker", &read, Effect::Default)).await.unwrap();
        let why = async |what: &str| check(owner, "maria", what).await.unwrap().reason();
        assert_eq!([why(&read).await, why(&write).await, why(PLUGIN).await], [Reason::Allowed, Reason::NoMatchingRule, Reason::NoMatchingRule]);
        bank.rule("may", "banker", Effect::Available).await;
        bank.add("not-write", rule("*", &write, Effect::Denied)).await.unwrap();
        assert_eq!([why(&read).await, why(&write).await, why(PLUGIN).await], [Reason::Allowed, Reason::ExplicitDeny, Reason::Allowed]);
        bank.rule("not", "banker", Effect::Denied).await;
        assert_eq!([why(&read).await, why(&write).await, why(PLUGIN).await], [Reason::ExplicitDeny; 3]);
        bank.drop_rule("not").await;
        // the next version has no such part, and the one after has it again
        market::import(&bank.world.admin, &market::small(&["kit", "other"])).await.unwrap();
        assert_eq!([why(&read).await, why(PLUGIN).await], [Reason::UnknownPlugin, Reason::Allowed]);
        with_parts(&bank).await;
        assert_eq!([why(&read).await, why(&write).await], [Reason::Allowed, Reason::ExplicitDeny]);
        for missing in [format!("{PLUGIN}/skills/none"), format!("{PLUGIN}/apps/read")] {
            let refused = bank.add("x", rule("banker", &missing, Effect::Default)).await.unwrap_err();
            assert_eq!(reason(&refused), "RESOURCE_NOT_FOUND", "{missing}");
        }
        let refused = bank.add("x", rule("banker", &format!("{PLUGIN}/hooks/a"), Effect::Default)).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD");
    }
}
