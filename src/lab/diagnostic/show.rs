//! Findings as miette shows them to people, and as programs read them.

use std::fmt;

use miette::{LabeledSpan, Severity, SourceCode};
use serde::Serialize;
use serde::ser::SerializeStruct;

use super::{Diagnostic, File, LabError};

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
        self.file.as_ref().filter(|_| self.is_quotable()).map(|file| file.as_ref() as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.labels.iter().enumerate().map(|(index, (span, label))| {
            let text = Some(label.clone()).filter(|label| !label.is_empty());
            match index {
                0 => LabeledSpan::new_primary_with_span(text, span.clone()),
                _ => LabeledSpan::new_with_span(text, span.clone()),
            }
        });
        self.is_quotable().then(|| Box::new(labels) as Box<dyn Iterator<Item = LabeledSpan>>)
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

impl miette::Diagnostic for LabError {
    fn severity(&self) -> Option<Severity> {
        let sound = self.diagnostics.iter().all(|diagnostic| diagnostic.warning);
        Some(if sound { Severity::Warning } else { Severity::Error })
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.diagnostics.iter().map(|diagnostic| diagnostic as &dyn miette::Diagnostic)))
    }
}
