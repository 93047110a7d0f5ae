//! The words of a language: verdicts, roles, headings, words in pictures. They lie in `templates/report/words.LANG.yaml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verify::Verdict;

/// All words of a language that do not stand in a template's own prose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Verdicts by their words in files.
    pub verdicts: BTreeMap<String, String>,
    /// Roles by their words in facts.
    pub roles: BTreeMap<String, String>,
    /// Kinds of service.
    pub services: BTreeMap<String, String>,
    /// Phases of an outage by the mark at their end.
    pub phases: BTreeMap<String, String>,
    /// Paths of a workload.
    pub paths: BTreeMap<String, String>,
    /// Faults.
    pub faults: BTreeMap<String, String>,
    /// Headings and short texts of the page.
    pub page: BTreeMap<String, String>,
    /// Words in pictures; `{}` stands for a value.
    pub picture: PictureWords,
}

/// Words in pictures, each the word of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureWords {
    pub topology: String,
    pub client: String,
    pub sessions: String,
    pub health_check: String,
    pub replication: String,
    pub dcs: String,
    pub member: String,
    pub lanes: String,
    pub outage: String,
    pub gap: String,
    pub budget: String,
    pub bound_ttl: String,
    pub bound_proxy: String,
    pub more_lines: String,
    pub terminal: String,
    pub whole_cluster: String,
    pub workload: String,
}

impl Words {
    /// A verdict's word.
    pub fn verdict(&self, verdict: Verdict) -> &str {
        or_itself(&self.verdicts, verdict.word())
    }

    /// A role's word; the role itself where it is of another system.
    pub fn role<'a>(&'a self, role: &'a str) -> &'a str {
        or_itself(&self.roles, role)
    }

    /// A path's word.
    pub fn path<'a>(&'a self, path: &'a str) -> &'a str {
        or_itself(&self.paths, path)
    }

    /// The word of a phase of an outage.
    pub fn phase<'a>(&'a self, phase: &'a str) -> &'a str {
        or_itself(&self.phases, phase)
    }

    /// The word of a fault.
    pub fn fault<'a>(&'a self, fault: &'a str) -> &'a str {
        or_itself(&self.faults, fault)
    }
}

fn or_itself<'a>(words: &'a BTreeMap<String, String>, key: &'a str) -> &'a str {
    words.get(key).map_or(key, String::as_str)
}

/// A verdict's sign, the same in every language.
pub fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Inconclusive => "?",
        Verdict::Skipped => "–",
        Verdict::InfraError => "!",
    }
}

/// Puts values in the place of each `{}`, in order.
pub fn fill(text: &str, values: &[&str]) -> String {
    let mut pieces = text.split("{}");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for piece in pieces {
        out.push_str(values.next().unwrap_or(&""));
        out.push_str(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::model::Lang;
    use crate::report::Templates;

    #[test]
    fn both_languages_have_the_same_words() {
        let keys = |lang: Lang| {
            let words = Templates::builtin().words(lang).expect("the words are well-formed");
            let keys = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
            let Words { verdicts, roles, services, phases, paths, faults, page, picture: _ } = &words;
            [verdicts, roles, services, phases, paths, faults, page].map(keys)
        };
        assert_eq!(keys(Lang::Ru), keys(Lang::En));
    }

    #[test]
    fn every_verdict_and_role_has_a_word() {
        for lang in [Lang::Ru, Lang::En] {
            let words = Templates::builtin().words(lang).expect("the words are well-formed");
            for verdict in
                [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Skipped, Verdict::InfraError]
            {
                assert!(words.verdicts.contains_key(verdict.word()), "{verdict:?}");
            }
            for role in ["leader", "sync_standby", "replica", "down", "unknown"] {
                assert!(words.roles.contains_key(role), "{role}");
            }
        }
    }

    #[test]
    fn values_take_their_places() {
        assert_eq!(fill("{} of {}", &["1", "2"]), "1 of 2");
        assert_eq!(fill("{} and {}", &["1"]), "1 and ");
        assert_eq!(fill("none", &["1"]), "none");
    }
}
