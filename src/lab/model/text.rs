//! Text for people, in every language that reports are written in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A language of reports and questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Russian.
    Ru,
    /// English.
    En,
}

impl Lang {
    /// The two-letter code, as in `report.ru.md` and in templates.
    pub fn code(self) -> &'static str {
        match self {
            Lang::Ru => "ru",
            Lang::En => "en",
        }
    }
}

/// A text in both languages, or one text that serves both (a command, a name).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Text {
    /// The same in every language.
    Same(String),
    /// One text a language.
    Each {
        /// In Russian.
        ru: String,
        /// In English.
        en: String,
    },
}

impl Text {
    /// The text in `lang`.
    pub fn get(&self, lang: Lang) -> &str {
        match (self, lang) {
            (Text::Same(text), _) => text,
            (Text::Each { ru, .. }, Lang::Ru) => ru,
            (Text::Each { en, .. }, Lang::En) => en,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::Same(String::new())
    }
}
