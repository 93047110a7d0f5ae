//! What is wrong with a lab: coded, placed, with help; all of it at once.

mod code;
mod show;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use code::Code;

/// The longest line, in bytes, that is shown to point at a place in it.
const LONGEST_LINE: usize = 400;

/// One finding.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Its code.
    pub code: Code,
    /// Whether it only warns.
    pub warning: bool,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The file, where one is concerned.
    pub file: Option<Arc<File>>,
    /// The place in it that is wrong, then others that matter, each with a few words; in bytes.
    pub labels: Vec<(Range<usize>, String)>,
}

/// A file that was read, with the name under which it is shown.
#[derive(PartialEq, Eq)]
pub struct File {
    /// As the user would name it.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl fmt::Debug for File {
    /// Its name and length: the text of a whole lab helps nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}, {} bytes)", self.name, self.text.len())
    }
}

impl File {
    /// The line and column of a byte, each counted from 1; columns count characters.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &self.text[..byte];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self { code, warning: false, message: message.into(), help: None, file: None, labels: Vec::new() }
    }

    /// A warning without a place.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(code, message) }
    }

    /// With what to do.
    pub fn advice(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With what to do, where there is something.
    pub fn maybe_advice(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// At a place; the first call names the place itself, later ones others that matter.
    pub fn at(mut self, file: &Arc<File>, span: Range<usize>, label: impl Into<String>) -> Self {
        self.file = Some(Arc::clone(file));
        self.labels.push((span, label.into()));
        self
    }

    /// Whether the lines of the file can be shown: there are some, and none is without end.
    fn is_quotable(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let line_length = |span: &Range<usize>| {
            let text = &file.text;
            let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
            text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len)
        };
        !self.labels.is_empty() && self.labels.iter().all(|(span, _)| line_length(span) <= LONGEST_LINE)
    }

    /// `file:line:column`, as far as known.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        let Some((span, _)) = self.labels.first() else { return Some(file.name.clone()) };
        let (line, column) = file.position(span.start);
        Some(format!("{}:{line}:{column}", file.name))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place().filter(|_| !self.is_quotable()) {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Why a lab cannot be used: every error that was found, then the warnings, each by its place.
#[derive(Debug, Clone)]
pub struct LabError {
    /// The lab, as it was asked for.
    pub lab: String,
    /// The findings; at least one is an error, unless only warnings are to be shown.
    pub diagnostics: Vec<Diagnostic>,
}

impl LabError {
    pub(super) fn one(lab: &str, diagnostic: Diagnostic) -> Self {
        Self { lab: lab.to_owned(), diagnostics: vec![diagnostic] }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.diagnostics.iter().filter(|diagnostic| !diagnostic.warning).count() {
            0 if self.diagnostics.len() == 1 => write!(f, "the lab `{}` is sound, with a warning", self.lab),
            0 => write!(f, "the lab `{}` is sound, with {} warnings", self.lab, self.diagnostics.len()),
            1 => write!(f, "the lab `{}` has an error", self.lab),
            count => write!(f, "the lab `{}` has {count} errors", self.lab),
        }
    }
}

impl std::error::Error for LabError {}

/// The name that is nearest to `given`, where one is near: `did you mean`.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count().min(given.chars().count()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Names for a sentence: `` `a`, `b` ``.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let file = File { name: "lab.yaml".to_owned(), text: "a: б\nцель: x\n".to_owned() };
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position("a: б\nцель: ".len()), (2, 7));
        assert_eq!(file.position(usize::MAX), (3, 1));
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("leadr", ["leader", "replica"]), Some("leader"));
        assert_eq!(nearest("Standby", ["sync_standby", "standby"]), Some("standby"));
        assert_eq!(nearest("zzz", ["leader", "replica"]), None);
    }
}
