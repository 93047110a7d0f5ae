//! Expressions and templates: the one place that knows minijinja.
//!
//! A lab is untrusted, so everything runs in a bounded environment: fuel for steps and data, a recursion limit,
//! no loader, and a name that is not defined is an error. Two kinds of text are told apart:
//!
//! - an *expression* (`expect`, `require`, `when`, `capture`, `until`) is written bare: `count == 3`;
//! - a *template* (everything else) is text with `{{ expressions }}` in it. A template that is exactly one
//!   `{{ expression }}` keeps the value's type; any other becomes text.

mod explain;

use std::collections::BTreeSet;
use std::ops::Range;

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;

pub use explain::{Part, Truth};

/// What one expression or one small template may cost (about one unit a step, and one for each 64 bytes made).
const FUEL: u64 = 200_000;
/// What a whole page may cost: reports and configurations.
const PAGE_FUEL: u64 = 20_000_000;
/// How deep templates may call themselves.
const RECURSION: usize = 100;

/// Why an expression or a template has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{source_text}`: {message}")]
#[diagnostic(code(LR0121))]
pub struct ExprError {
    /// The expression or template.
    pub source_text: String,
    /// What is wrong.
    pub message: String,
    /// Where in the text, in bytes, where that is known.
    pub range: Option<Range<usize>>,
    /// What may help.
    #[help]
    pub help: Option<String>,
}

/// The environment in which whole pages are rendered. Add templates, filters and functions to it.
pub fn environment<'source>() -> Environment<'source> {
    let mut env = bounded();
    env.set_fuel(Some(PAGE_FUEL));
    env
}

fn bounded<'source>() -> Environment<'source> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_recursion_limit(RECURSION);
    env.set_fuel(Some(FUEL));
    env.set_debug(true);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env
}

/// The value of a bare expression.
pub fn value(expr: &str, ctx: &impl Serialize) -> Result<Value, ExprError> {
    evaluate(&bounded(), expr, &minijinja::Value::from(Serde(ctx)))
}

/// The value of a template: typed where it is exactly one `{{ expression }}`, text otherwise.
pub fn eval(template: &str, ctx: &impl Serialize) -> Result<Value, ExprError> {
    match sole_expression(template) {
        Some(expr) => value(expr, ctx),
        None => render(template, ctx).map(Value::String),
    }
}

/// [`eval`] for every string within a value; what is no string stays as it is.
pub fn eval_all(value: &Value, ctx: &impl Serialize) -> Result<Value, ExprError> {
    Ok(match value {
        Value::String(text) => eval(text, ctx)?,
        Value::Array(items) => Value::Array(items.iter().map(|item| eval_all(item, ctx)).collect::<Result<_, _>>()?),
        Value::Object(map) => Value::Object(
            map.iter().map(|(key, item)| Ok((key.clone(), eval_all(item, ctx)?))).collect::<Result<_, ExprError>>()?,
        ),
        plain => plain.clone(),
    })
}

/// A template as text.
pub fn render(template: &str, ctx: &impl Serialize) -> Result<String, ExprError> {
    if !is_template(template) {
        return Ok(template.to_owned());
    }
    bounded().render_str(template, Serde(ctx)).map_err(|error| explained(template, &error, false))
}

/// Whether a bare expression holds, and what its parts were.
pub fn holds(expr: &str, ctx: &impl Serialize) -> Result<Truth, ExprError> {
    let env = bounded();
    let ctx = minijinja::Value::from(Serde(ctx));
    let compiled = env.compile_expression(expr).map_err(|error| explained(expr, &error, true))?;
    let holds = compiled.eval(ctx.clone()).map_err(|error| explained(expr, &error, true))?.is_true();
    Ok(Truth { expr: expr.to_owned(), holds, parts: explain::parts(&env, expr, &ctx) })
}

/// Whether the text is a well-formed bare expression; and the names that it reads.
pub fn check_expression(expr: &str) -> Result<BTreeSet<String>, ExprError> {
    let env = bounded();
    let compiled = env.compile_expression(expr).map_err(|error| explained(expr, &error, true))?;
    Ok(compiled.undeclared_variables(true).into_iter().filter(|name| !is_global(&env, name)).collect())
}

/// Whether the text is a well-formed template; and the names that it reads.
pub fn check_template(template: &str) -> Result<BTreeSet<String>, ExprError> {
    if !is_template(template) {
        return Ok(BTreeSet::new());
    }
    let env = bounded();
    let compiled = env.template_from_str(template).map_err(|error| explained(template, &error, false))?;
    Ok(compiled.undeclared_variables(true).into_iter().filter(|name| !is_global(&env, name)).collect())
}

/// Whether a text is more than plain words.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

fn is_global(env: &Environment<'_>, path: &str) -> bool {
    let root = path.split('.').next().unwrap_or(path);
    env.globals().any(|(name, _)| name == root)
}

fn evaluate(env: &Environment<'_>, expr: &str, ctx: &minijinja::Value) -> Result<Value, ExprError> {
    let compiled = env.compile_expression_owned(expr.to_owned()).map_err(|error| explained(expr, &error, true))?;
    let value = compiled.eval(ctx.clone()).map_err(|error| explained(expr, &error, true))?;
    if value.is_undefined() {
        return Err(undefined(expr, compiled.undeclared_variables(true)));
    }
    serde_json::to_value(&value).map_err(|error| ExprError {
        source_text: expr.to_owned(),
        message: format!("its value cannot be kept: {error}"),
        range: None,
        help: None,
    })
}

fn undefined(expr: &str, names: impl IntoIterator<Item = String>) -> ExprError {
    let names: BTreeSet<_> = names.into_iter().collect();
    let names = names.into_iter().collect::<Vec<_>>().join("`, `");
    ExprError {
        source_text: expr.to_owned(),
        message: format!("there is no such value (it reads `{names}`)"),
        range: None,
        help: Some("`NAME is defined` asks whether a value is there; `NAME | default(…)` gives another".to_owned()),
    }
}

/// The expression of a template that is exactly one `{{ expression }}`.
fn sole_expression(template: &str) -> Option<&str> {
    let inner = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    bounded().compile_expression(inner).is_ok().then_some(inner)
}

fn explained(source: &str, error: &Error, bare: bool) -> ExprError {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let message = match error.kind() {
        ErrorKind::OutOfFuel => "it takes too long: labs may only compute a little".to_owned(),
        ErrorKind::UndefinedError => format!("it reads a value that is not there: {detail}"),
        ErrorKind::SyntaxError => format!("it is not well-formed: {detail}"),
        _ => detail,
    };
    let wrapped = bare && source.trim_start().starts_with("{{") && error.kind() == ErrorKind::SyntaxError;
    ExprError {
        source_text: source.to_owned(),
        message,
        range: error.range().and_then(|range| whole_characters(source, range)),
        help: wrapped.then(|| "write expressions here without `{{` and `}}`".to_owned()),
    }
}

/// The range, widened to whole characters; none where it is empty or no place in the text.
fn whole_characters(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let start = (0..=range.start.min(text.len())).rev().find(|start| text.is_char_boundary(*start))?;
    let end = (range.end..=text.len()).find(|end| text.is_char_boundary(*end))?;
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ctx() -> Value {
        json!({
            "count": 3,
            "leader": "pg-slave",
            "rows": [[1, "a"], [2, "b"]],
            "cluster": {"leader": "pg-slave", "members": [{"role": "leader"}, {"role": "replica"}], "lag": null},
        })
    }

    #[test]
    fn a_sole_expression_keeps_its_type() {
        assert_eq!(eval("{{ count }}", &ctx()), Ok(json!(3)));
        assert_eq!(eval(" {{- rows[0] -}} ", &ctx()), Ok(json!([1, "a"])));
        assert_eq!(eval("{{ cluster.lag }}", &ctx()), Ok(json!(null)));
        assert_eq!(eval("{{ '}}' }}", &ctx()), Ok(json!("}}")));
    }

    #[test]
    fn anything_else_is_text() {
        assert_eq!(eval("{{ count }}{{ count }}", &ctx()), Ok(json!("33")));
        assert_eq!(eval("n = {{ count }}", &ctx()), Ok(json!("n = 3")));
        assert_eq!(eval("plain", &ctx()), Ok(json!("plain")));
        assert_eq!(render("<{{ leader }}>", &ctx()).as_deref(), Ok("<pg-slave>"));
    }

    #[test]
    fn every_string_of_a_value_is_a_template() {
        let with = json!({"node": "{{ leader }}", "limits": [1, "{{ count + 1 }}"], "on": true});
        assert_eq!(eval_all(&with, &ctx()), Ok(json!({"node": "pg-slave", "limits": [1, 4], "on": true})));
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        for expr in ["missing", "cluster.missing", "cluster.missing == 1", "missing.deeper"] {
            let error = value(expr, &ctx()).expect_err(expr);
            assert!(error.message.contains("not there") || error.message.contains("no such value"), "{error}");
        }
        assert_eq!(value("missing is defined", &ctx()), Ok(json!(false)));
        assert_eq!(value("missing | default(7)", &ctx()), Ok(json!(7)));
    }

    #[test]
    fn braces_around_an_expression_are_explained() {
        let error = holds("{{ count == 3 }}", &ctx()).expect_err("braces");
        assert_eq!(error.help.as_deref(), Some("write expressions here without `{{` and `}}`"));
    }

    #[test]
    fn the_place_of_an_error_is_one_of_whole_characters() {
        for text in ["count == №", "😀", "{{ я № }}"] {
            let errors = [check_expression(text), check_template(text)];
            for range in errors.into_iter().filter_map(|checked| checked.err()?.range) {
                assert!(text.get(range.clone()).is_some(), "{range:?} of {text}");
            }
        }
    }

    #[test]
    fn endless_work_runs_out_of_fuel() {
        for template in [
            "{% for a in range(100000) %}{% for b in range(100000) %}{{ a * b }}{% endfor %}{% endfor %}",
            "{{ 'x' * 1000000000 }}",
            "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        ] {
            assert!(render(template, &ctx()).is_err(), "{template}");
        }
        assert!(value("range(100000) | map('string') | join('x') | length", &ctx()).is_err());
    }

    #[test]
    fn names_are_those_that_the_text_reads() {
        let names = check_expression("cluster.leader != old and rows[0] == range(3)").expect("well-formed");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["cluster.leader", "old", "rows"]);
        let names = check_template("{% for m in members %}{{ m.name }}{% endfor %}").expect("well-formed");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["members"]);
        assert!(check_template("{{ a").is_err());
        assert!(check_expression("a ==").is_err());
    }
}
