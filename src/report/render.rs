//! From a run to a report: checks and questions first, each by its own template, then the page around them.

use std::sync::{Arc, PoisonError};

use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};

use super::context::{Layout, sha256};
use super::draw::{Artist, Picture};
use super::evidence::Evidence;
use super::functions::{self, Withheld, WithheldList};
use super::redact;
use super::{ReportError, Templates, html, markdown};
use crate::lab::model::Lang;
use crate::verify::{CheckResult, Run};

/// A report, whole.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its language.
    pub lang: Lang,
    /// As Markdown; its pictures are among the assets.
    pub markdown: String,
    /// As one HTML page that needs no other file.
    pub html: String,
    /// Pictures, facts and the project's files, by their paths relative to the report.
    pub assets: Vec<(String, Vec<u8>)>,
    /// Sentences that were not written, since their evidence was not there.
    pub withheld: Vec<Withheld>,
}

/// Renders the report of a run. The same run, language and templates always give the same report.
pub fn render(run: &Run, lang: Lang, templates: &Templates) -> Result<Report, ReportError> {
    let words = templates.words(lang)?;
    let run = &redact::run(run);
    let evidence = Arc::new(Evidence::of(run, &words));
    let withheld = WithheldList::default();
    let artist = Artist::new(&evidence, lang);
    let mut env = functions::environment(templates, lang)?;
    functions::add_claims(&mut env, &evidence, &withheld);
    artist.add_functions(&mut env);

    let page = Page { env: &env, layout: Layout { evidence: &evidence, lang }, templates, lang };
    let markdown = page.markdown()?;
    let pictures = artist.pictures();
    let css = ["report/page.css", "report/picture.css"].map(|name| templates.get(name).unwrap_or_default());
    let title = format!("{} — {}", run.lab.title.get(lang), run.lab.topic.get(lang));
    let html = html::page(&markdown, title.trim_end_matches([' ', '—']), lang.code(), &css, &pictures);
    let assets = assets(run, &pictures, css[1]);
    let withheld = withheld.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Report { lang, markdown, html, assets, withheld })
}

struct Page<'p> {
    env: &'p Environment<'static>,
    layout: Layout<'p>,
    templates: &'p Templates,
    lang: Lang,
}

impl Page<'_> {
    fn markdown(&self) -> Result<String, ReportError> {
        let run = self.layout.evidence.run();
        let mut sections = Vec::new();
        for part in &run.parts {
            for check in &part.checks {
                sections.push(((part.id.clone(), check.id.clone()), self.check(&part.id, check)?));
            }
        }
        let parts = self.layout.parts(&|part, check| {
            let text = sections.iter().find(|((p, c), _)| p == part && *c == check.id).map(|(_, text)| text.as_str());
            serde_json::json!(text.unwrap_or_default())
        });
        let questions = self.questions()?;
        let base = self.layout.page();
        let all = context! {
            parts => safe_checks(&parts),
            questions => questions,
            ..Value::from(Serde(&base))
        };
        Ok(tidy(&self.render("report/report.md.j2", all)?))
    }

    /// A check: what its own template says in the language, or the one for any check; within the frame of every check.
    fn check(&self, part: &str, check: &CheckResult) -> Result<String, ReportError> {
        let values = self.layout.check(part, check);
        let name = [check.uses.as_str(), "any"]
            .map(|name| format!("report/checks/{name}.{}.md.j2", self.lang.code()))
            .into_iter()
            .find(|name| self.templates.get(name).is_some())
            .unwrap_or_default();
        let prose = self.render(&name, Value::from(Serde(&values)))?;
        let all = context! { prose => Value::from_safe_string(prose), ..Value::from(Serde(&values)) };
        self.render("report/check.md.j2", all)
    }

    fn questions(&self) -> Result<Vec<Value>, ReportError> {
        let run = self.layout.evidence.run();
        let values = self.layout.question();
        let mut answered = Vec::new();
        for (place, question) in run.lab.questions.iter().enumerate() {
            let name = format!("questions/{}.{}.md.j2", question.answer, self.lang.code());
            let answer = match self.templates.get(&name) {
                Some(_) => self.render(&name, Value::from(Serde(&values)))?,
                None => String::new(),
            };
            let tried = match self.layout.tried(&question.id) {
                Some(values) => {
                    self.render(&format!("report/tried.{}.md.j2", self.lang.code()), Value::from(Serde(&values)))?
                }
                None => String::new(),
            };
            let answer = format!("{}\n\n{}", answer.trim(), tried.trim());
            answered.push(context! {
                number => place + 1,
                id => &question.id,
                ask => question.ask.get(self.lang).trim(),
                answer => Value::from_safe_string(answer.trim().to_owned()),
            });
        }
        Ok(answered)
    }

    fn render(&self, name: &str, values: Value) -> Result<String, ReportError> {
        let template = self.env.get_template(name).map_err(|error| ReportError::template(name, &error))?;
        template.render(values).map_err(|error| ReportError::template(name, &error))
    }
}

/// The parts with their checks' texts marked as Markdown already made.
fn safe_checks(parts: &serde_json::Value) -> Vec<Value> {
    let parts = parts.as_array().map_or(&[][..], Vec::as_slice);
    parts
        .iter()
        .map(|part| {
            let checks = part["checks"].as_array().map_or(&[][..], Vec::as_slice);
            let checks: Vec<Value> = checks
                .iter()
                .map(|text| Value::from_safe_string(text.as_str().unwrap_or_default().to_owned()))
                .collect();
            context! { checks => checks, ..Value::from(Serde(part)) }
        })
        .collect()
}

/// Pictures, the facts' outputs with their sums, and the project's files.
fn assets(run: &Run, pictures: &[Picture], css: &str) -> Vec<(String, Vec<u8>)> {
    let mut assets: Vec<(String, Vec<u8>)> =
        pictures.iter().map(|picture| (picture.path.clone(), picture.svg.file(css).into_bytes())).collect();
    let mut sums = String::new();
    for fact in &run.facts {
        let output = fact.output.clone().into_bytes();
        let name = format!("{}.txt", markdown::slug(&fact.id).to_uppercase());
        sums.push_str(&format!("{}  {name}\n", sha256(&output)));
        assets.push((format!("facts/{name}"), output));
    }
    assets.push(("facts/SHA256SUMS".to_owned(), sums.into_bytes()));
    assets.extend(run.project.iter().map(|file| (format!("project/{}", file.path), file.content.clone().into_bytes())));
    assets
}

/// No more than one empty line in a row and no blanks at the ends of lines, but within fences everything stays.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<usize> = None;
    let mut empty = 1;
    for line in text.lines() {
        let marks = line.bytes().take_while(|byte| *byte == b'`').count();
        if let Some(open) = fence {
            out.push_str(line);
            out.push('\n');
            if marks >= open && line.len() == marks {
                fence = None;
            }
            continue;
        }
        let line = line.trim_end();
        if line.is_empty() {
            empty += 1;
            if empty > 1 {
                continue;
            }
        } else {
            empty = 0;
        }
        if marks >= 3 {
            fence = Some(marks);
        }
        out.push_str(line);
        out.push('\n');
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_are_joined_but_not_within_fences() {
        assert_eq!(tidy("\n\na  \n\n\n\nb\n```\nx\n\n\ny\n```\n\n\n"), "a\n\nb\n```\nx\n\n\ny\n```\n");
    }
}
