//! What is wrong with a lab: coded, placed, with help; all of it at once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{LabeledSpan, Severity, SourceCode};
use serde::Serialize;
use serde::ser::SerializeStruct;

/// A stable code; `docs/errors/CODE.md` explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// LR0101: a file cannot be read.
    Unreadable,
    /// LR0102: a file, or what it would become, is too large.
    TooLarge,
    /// LR0103: a file is no well-formed YAML.
    NotYaml,
    /// LR0104: the indentation was lost.
    IndentationLost,
    /// LR0105: a key that is not known at its place.
    UnknownKey,
    /// LR0106: a key is missing.
    MissingKey,
    /// LR0107: a value of the wrong type, or none.
    WrongType,
    /// LR0108: a value that is not one of those allowed.
    UnknownValue,
    /// LR0109: a key or a name twice.
    Twice,
    /// LR0110: not exactly one action.
    NotOneAction,
    /// LR0111: another version of the format.
    WrongFormat,
    /// LR0112: a name with characters that it may not have.
    BadName,
    /// LR0113: a need that is not there.
    UnknownNeed,
    /// LR0114: needs that go round in a circle.
    CyclicNeeds,
    /// LR0115: a check that is not there.
    UnknownCheck,
    /// LR0116: a parameter that a check does not have.
    UnknownParam,
    /// LR0117: a parameter that a check must be given.
    MissingParam,
    /// LR0118: neither a role nor a node.
    UnknownTarget,
    /// LR0119: the topology has no node of a kind that is needed.
    MissingKind,
    /// LR0120: one port of the host for two nodes.
    PortTwice,
    /// LR0121: an expression or template that is not well-formed, or has no value.
    BadExpression,
    /// LR0122: an expression reads a name that is not there.
    UnknownName,
    /// LR0123: a setting that labrun itself makes.
    OwnSetting,
    /// LR0124: a setting where Patroni does not read it.
    Misplaced,
    /// LR0125: timing that Patroni's or ZooKeeper's documents rule out.
    Timing,
    /// LR0126: a check that cannot fail.
    Vacuous,
    /// LR0127: a file or template that is not there.
    MissingFile,
    /// LR0128: a path that leads out of the lab's folder.
    OutsideFolder,
    /// LR0129: no such lab.
    NoSuchLab,
    /// LR0130: a folder for a new lab that is not empty.
    NotEmpty,
}

impl Code {
    /// Every code, in order.
    pub const ALL: [Code; 30] = [
        Code::Unreadable,
        Code::TooLarge,
        Code::NotYaml,
        Code::IndentationLost,
        Code::UnknownKey,
        Code::MissingKey,
        Code::WrongType,
        Code::UnknownValue,
        Code::Twice,
        Code::NotOneAction,
        Code::WrongFormat,
        Code::BadName,
        Code::UnknownNeed,
        Code::CyclicNeeds,
        Code::UnknownCheck,
        Code::UnknownParam,
        Code::MissingParam,
        Code::UnknownTarget,
        Code::MissingKind,
        Code::PortTwice,
        Code::BadExpression,
        Code::UnknownName,
        Code::OwnSetting,
        Code::Misplaced,
        Code::Timing,
        Code::Vacuous,
        Code::MissingFile,
        Code::OutsideFolder,
        Code::NoSuchLab,
        Code::NotEmpty,
    ];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LR{:04}", 101 + *self as u16)
    }
}

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
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// As the user would name it.
    pub name: String,
    /// Its text.
    pub text: String,
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
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With what to do, where there is something.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// At a place; the first call names the place itself, later ones others that matter.
    pub fn at(mut self, file: &Arc<File>, span: Range<usize>, label: impl Into<String>) -> Self {
        self.file = Some(Arc::clone(file));
        self.labels.push((span, label.into()));
        self
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
        match self.place() {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<Severity> {
        Some(if self.warning { Severity::Warning } else { Severity::Error })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.file.as_ref().filter(|_| !self.labels.is_empty()).map(|file| file.as_ref() as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.labels.iter().enumerate().map(|(index, (span, label))| {
            let text = Some(label.clone()).filter(|label| !label.is_empty());
            match index {
                0 => LabeledSpan::new_primary_with_span(text, span.clone()),
                _ => LabeledSpan::new_with_span(text, span.clone()),
            }
        });
        (!self.labels.is_empty()).then(|| Box::new(labels) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}

impl SourceCode for File {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let contents = self.text.read_span(span, before, after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name.clone(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

impl Serialize for Diagnostic {
    /// For programs: code, severity, message, help, file, line, column, length (in characters; of the place itself).
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.file.as_ref().zip(self.labels.first()).map(|(file, (span, _))| {
            let (line, column) = file.position(span.start);
            (line, column, file.text.get(span.clone()).map_or(0, |text| text.chars().count()))
        });
        let mut out = serializer.serialize_struct("Diagnostic", 8)?;
        out.serialize_field("code", &self.code.to_string())?;
        out.serialize_field("severity", if self.warning { "warning" } else { "error" })?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("help", &self.help)?;
        out.serialize_field("file", &self.file.as_ref().map(|file| &file.name))?;
        out.serialize_field("line", &place.map(|place| place.0))?;
        out.serialize_field("column", &place.map(|place| place.1))?;
        out.serialize_field("length", &place.map(|place| place.2))?;
        out.end()
    }
}

/// Why a lab cannot be used: every error that was found, then the warnings, each by its place.
#[derive(Debug, Clone)]
pub struct LabError {
    /// The lab, as it was asked for.
    pub lab: String,
    /// The findings; at least one is an error.
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
            1 => write!(f, "the lab `{}` has an error", self.lab),
            count => write!(f, "the lab `{}` has {count} errors", self.lab),
        }
    }
}

impl std::error::Error for LabError {}

impl miette::Diagnostic for LabError {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.diagnostics.iter().map(|diagnostic| diagnostic as &dyn miette::Diagnostic)))
    }
}

/// The name that is nearest to `given`, where one is near: `did you mean`.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count().min(given.chars().count()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Names for a sentence: `` `a`, `b` ``.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_without_gaps() {
        let codes: Vec<_> = Code::ALL.iter().map(ToString::to_string).collect();
        let expected: Vec<_> = (101..=130).map(|number| format!("LR{number:04}")).collect();
        assert_eq!(codes, expected);
    }

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
