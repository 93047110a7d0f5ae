//! What the linter says of the twelve, without an engine.

use crate::project::Project;
use crate::variants::TWELVE;

pub fn the_report_has_no_error_and_each_mistake_is_named_where_it_stands() {
    let clean = Project::new(None);
    let said = clean.labrun(&["lint", &clean.folder().display().to_string()]);
    assert_eq!(said.code, 0, "{}", said.all());
    for variant in TWELVE.iter().filter(|variant| variant.code.is_some()) {
        let project = Project::new(Some(variant));
        let said = project.labrun(&["lint", "--json", &project.folder().display().to_string()]);
        let told: serde_json::Value =
            serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error} {}", said.all()));
        let findings = told["findings"].as_array().unwrap();
        let named = findings.iter().filter(|finding| finding["code"] == variant.code.unwrap());
        let words: Vec<String> = named.map(ToString::to_string).collect();
        assert!(words.iter().any(|text| text.contains(variant.words)), "{}: {words:?}\n{}", variant.name, said.all());
    }
}
