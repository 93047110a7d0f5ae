//! Expressions and templates: whether they are well-formed, and whether what they read is there.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Meaning;
use crate::lab::diagnostic::{Code, listed, nearest};
use crate::lab::expr::{self, ExprError};
use crate::lab::model::Text;

/// How a text is read.
#[derive(Clone, Copy)]
pub enum Form {
    /// A bare expression.
    Expression,
    /// A template.
    Template,
}

impl Meaning<'_> {
    /// Checks one text at `place`; every name that it reads must pass `known`, which answers what there is instead.
    pub(super) fn reads(
        &mut self,
        form: Form,
        text: &str,
        place: Range<usize>,
        known: &dyn Fn(&str) -> Result<(), Vec<String>>,
    ) {
        let names = match form {
            Form::Expression => expr::check_expression(text),
            Form::Template => expr::check_template(text),
        };
        match names {
            Ok(names) => self.names_read(text, &names, place, known),
            Err(error) => self.not_well_formed(text, &error, place),
        }
    }

    /// Checks a text for people, in each of its languages.
    pub(super) fn reads_text(&mut self, text: &Text, path: &[&str], known: &dyn Fn(&str) -> Result<(), Vec<String>>) {
        match text {
            Text::Same(text) => {
                let place = self.value(path);
                self.reads(Form::Template, text, place, known);
            }
            Text::Each { ru, en } => {
                for (lang, text) in [("ru", ru), ("en", en)] {
                    let place = self.value(&[path, &[lang]].concat());
                    self.reads(Form::Template, text, place, known);
                }
            }
        }
    }

    fn names_read(
        &mut self,
        text: &str,
        names: &BTreeSet<String>,
        place: Range<usize>,
        known: &dyn Fn(&str) -> Result<(), Vec<String>>,
    ) {
        for name in names {
            let Err(there) = known(name) else { continue };
            let help = match nearest(name, there.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if there.is_empty() => "there is nothing of the kind here".to_owned(),
                None => format!("there are {}", listed(there.iter().map(String::as_str))),
            };
            let at = text.find(name.as_str()).map(|at| at..at + name.len());
            let span = self.within(text, at, place.clone());
            self.error(Code::UnknownName, format!("this reads `{name}`, which is not there"), span).with_help(help);
        }
    }

    fn not_well_formed(&mut self, text: &str, error: &ExprError, place: Range<usize>) {
        let span = self.within(text, error.range.clone(), place);
        let finding = self.error(Code::BadExpression, error.message.clone(), span);
        if let Some(help) = &error.help {
            finding.with_help(help.clone());
        }
    }

    /// The place of a part of a text, where the text stands in the file as it is; the whole text otherwise.
    fn within(&self, text: &str, part: Option<Range<usize>>, place: Range<usize>) -> Range<usize> {
        let written = self.file.text.get(place.clone()).unwrap_or_default();
        match (part, written.find(text)) {
            (Some(part), Some(at)) if part.end <= text.len() => {
                place.start + at + part.start..place.start + at + part.end
            }
            _ => place,
        }
    }
}
