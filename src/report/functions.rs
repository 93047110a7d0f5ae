//! What templates can call: `claim` binds a sentence to its evidence, `has` asks for evidence, and filters write
//! values in the report's language.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde, Value, ValueOrKwargs, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State};

use super::evidence::{Evidence, Reference, Scope, Seen, file_anchor};
use super::markdown;
use super::{ReportError, Templates, format};
use crate::lab::expr;
use crate::lab::model::Lang;

/// A sentence that was not written, since its evidence was not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The template.
    pub template: String,
    /// The evidence that it named.
    pub evidence: Vec<String>,
    /// What was missing.
    pub missing: String,
}

/// The sentences that were not written.
pub type WithheldList = Arc<Mutex<Vec<Withheld>>>;

/// The environment in which a report's templates run: bounded, strict, and everything that is put into a text is
/// escaped for Markdown unless it was made by a filter or function for it.
pub fn environment(templates: &Templates, lang: Lang) -> Result<Environment<'static>, ReportError> {
    let mut env = expr::environment();
    env.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    env.set_formatter(write_value);
    env.set_syntax(layout()?);
    add_filters(&mut env, lang);
    for (name, source) in templates.all() {
        env.add_template_owned(name.to_owned(), source.to_owned())
            .map_err(|error| ReportError::template(name, &error))?;
    }
    Ok(env)
}

/// A block tag takes its line with it, so that templates can be laid out for reading.
fn layout() -> Result<SyntaxConfig, ReportError> {
    let config = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    config.map_err(|error| ReportError::template("", &error))
}

/// What is not there is an error, `none` too: a sentence with a hole in it is worse than no sentence.
fn write_value(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Err(Error::new(ErrorKind::UndefinedError, "there is no such value"));
    }
    let text = match value.as_str() {
        Some(text) if value.is_safe() => text.to_owned(),
        Some(text) => markdown::escape(text),
        None => markdown::escape(&value.to_string()),
    };
    std::fmt::Write::write_str(out, &text).map_err(Error::from)
}

fn add_filters(env: &mut Environment<'static>, lang: Lang) {
    let safe = Value::from_safe_string;
    env.add_filter("ms", move |ms: u64| format::millis(ms, lang));
    env.add_filter("at", move |ms: u64| format::moment(ms, lang));
    env.add_filter("num", move |n: u64| format::number(n, lang));
    env.add_filter("date", move |text: String| format::date(&text, lang));
    env.add_filter("plural", move |n: u64, forms: Rest<String>| format::plural(n, &forms, lang).to_owned());
    env.add_filter("code", move |text: String| safe(markdown::code(&text)));
    env.add_filter("code_in_cell", move |text: String| safe(markdown::code_in_cell(&text)));
    env.add_filter("own", move |text: String| safe(markdown::own(&text)));
    env.add_filter("slug", |text: String| markdown::slug(&text));
    env.add_filter("codes", move |items: Vec<String>| {
        safe(items.iter().map(|item| markdown::code(item)).collect::<Vec<_>>().join(", "))
    });
    env.add_function("fence", move |text: String, language: Option<String>| {
        safe(markdown::fence(&text, &language.unwrap_or_default()))
    });
}

/// Adds `claim`, `has`, `ref`, and `line` for a place in a file of the project.
pub fn add_claims(env: &mut Environment<'static>, evidence: &Arc<Evidence>, withheld: &WithheldList) {
    let (seen, list) = (Arc::clone(evidence), Arc::clone(withheld));
    env.add_function("claim", move |state: &mut State, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        let (names, kwargs) = from_args::<(&[Value], Kwargs)>(&args)?;
        claim(state, names, &kwargs, &seen, &list)
    });
    let roles = evidence.words().clone();
    env.add_filter("role", move |role: String| roles.role(&role).to_owned());
    let seen = Arc::clone(evidence);
    env.add_filter("node", move |address: String| {
        let node = seen.run().nodes.iter().find(|node| node.address == address);
        node.map_or(address, |node| node.name.clone())
    });
    let seen = Arc::clone(evidence);
    env.add_function("has", move |state: &State, names: Rest<String>| {
        let scope = scope(state);
        names.iter().all(|name| seen.see(&scope, name, false).is_some())
    });
    env.add_function("line", |place: Value| line(&place));
    env.add_function("ref", |text: String, anchor: Option<String>| {
        let anchor = anchor.unwrap_or_else(|| markdown::slug(&text));
        Value::from_safe_string(link(&Reference { text, anchor }))
    });
}

/// A line of a file, linked to the file: `docker-compose.yml:18`.
fn line(place: &Value) -> Result<Value, Error> {
    let (file, line) = (place.get_attr("file")?, place.get_attr("line")?);
    let file = file.as_str().ok_or_else(|| Error::new(ErrorKind::UndefinedError, "there is no such line"))?;
    let text = format!("{file}:{line}");
    Ok(Value::from_safe_string(link(&Reference { text, anchor: file_anchor(file) })))
}

/// The check that the template writes about.
pub fn scope(state: &State) -> Scope {
    let text = |name: &str| state.lookup(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    Scope { part: text("part_id"), check: text("check_id") }
}

/// `{% call(e) claim("write", other="replication/read", otherwise="…") %}sentence{% endcall %}`: the sentence with links to
/// its evidence where all of it is there and it says nothing that the evidence does not hold; else `otherwise`, else nothing.
fn claim(
    state: &mut State,
    names: &[Value],
    kwargs: &Kwargs,
    evidence: &Evidence,
    withheld: &WithheldList,
) -> Result<Value, Error> {
    let caller: Value = kwargs.get("caller")?;
    let otherwise: Option<String> = kwargs.get("otherwise")?;
    let any = kwargs.get::<Option<String>>("verdict")?.as_deref() == Some("any");
    let mut named = Vec::new();
    for name in names {
        let name =
            name.as_str().ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "evidence is named by a text"))?;
        named.push((alias(name), name.to_owned()));
    }
    for key in kwargs.args().filter(|key| !matches!(*key, "caller" | "otherwise" | "verdict")) {
        named.push((key.to_owned(), kwargs.get::<String>(key)?));
    }
    let (scope, template) = (scope(state), state.name().to_owned());
    let withhold = |missing: String| {
        let evidence = named.iter().map(|(_, name)| name.clone()).collect();
        let template = template.clone();
        withheld.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Withheld {
            template,
            evidence,
            missing,
        });
        Ok(Value::from_safe_string(otherwise.as_ref().map(|text| format!("{}\n", text.trim())).unwrap_or_default()))
    };
    let mut seen = Vec::new();
    for (alias, name) in &named {
        match evidence.see(&scope, name, any) {
            Some(found) => seen.push((alias.clone(), found)),
            None => return withhold(name.clone()),
        }
    }
    let told: BTreeMap<String, Value> =
        seen.iter().map(|(alias, Seen { value, .. })| (alias.clone(), Value::from(Serde(value)))).collect();
    let told = Value::from(told);
    match caller.call(state, &[told]) {
        Ok(text) => Ok(sentence(text.as_str().unwrap_or_default(), &seen)),
        Err(error) if matches!(error.kind(), ErrorKind::UndefinedError | ErrorKind::InvalidOperation) => {
            withhold(error.to_string())
        }
        Err(error) => Err(error),
    }
}

/// A body that came out empty said nothing: the template looked at the evidence and had no sentence for it.
fn sentence(text: &str, seen: &[(String, Seen)]) -> Value {
    let text = text.trim();
    if text.is_empty() {
        return Value::from_safe_string(String::new());
    }
    let mut references: Vec<&Reference> = Vec::new();
    for reference in seen.iter().flat_map(|(_, seen)| &seen.references) {
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    let links: Vec<String> = references.iter().map(|reference| link(reference)).collect();
    // A table's row is closed behind its last cell, which the links are.
    let end = if text.starts_with('|') { " |" } else { "" };
    Value::from_safe_string(format!("{text} {}{end}\n", links.join(" ")))
}

/// The last part of a name, as an attribute: `failover/kill-it` is read as `e.kill_it`, `outage:proxy` as `e.proxy`.
fn alias(name: &str) -> String {
    let last = name.rsplit(['/', ':']).next().unwrap_or(name);
    last.replace('-', "_")
}

/// A link into the appendix.
pub fn link(reference: &Reference) -> String {
    format!("[{}](#{})", markdown::escape(&reference.text), reference.anchor)
}
