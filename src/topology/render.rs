//! Templates of `templates/config/` into configuration files; a lab may bring its own beside its `lab.yaml`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;

use super::PlanError;
use crate::lab::{Library, expr};

/// Renders configuration templates for one lab.
pub struct Renderer<'a> {
    library: &'a Library,
    env: Environment<'a>,
}

impl<'a> Renderer<'a> {
    /// A renderer that looks for templates among the lab's files first.
    pub fn new(library: &'a Library) -> Self {
        let mut env = expr::environment();
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            env.set_syntax(syntax);
        }
        env.add_filter("yaml", |value: &Value| yaml(value));
        env.add_filter("compose", |value: &Value| compose(value));
        Self { library, env }
    }

    /// The file that `templates/config/NAME.j2` makes.
    pub fn file(&self, name: &str, context: &impl Serialize) -> Result<String, PlanError> {
        let path = format!("templates/config/{name}.j2");
        let failed = |why: String| PlanError::Template { template: path.clone(), why };
        let found = self.library.file(&path).map_err(|finding| failed(finding.to_string()))?;
        let text = found.ok_or_else(|| failed("there is no such template".to_owned()))?;
        let rendered = self.env.render_named_str(&path, &text.text, Serde(context));
        let rendered = rendered.map_err(|error| failed(error.to_string()))?;
        Ok(format!("{}\n", rendered.trim_end()))
    }
}

/// A mapping as block YAML. Texts that YAML 1.1, which Patroni's PyYAML reads, takes for something else are quoted.
fn yaml(value: &Value) -> Result<String, Error> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: false };
    let text = serde_saphyr::to_string_with_options(value, options).map_err(bad_value)?;
    Ok(text.trim_end().to_owned())
}

/// A scalar, or a list in one line, as a value in a compose file, where `$` would begin a variable.
fn compose(value: &Value) -> Result<String, Error> {
    let text = match value.as_str() {
        Some(_) => yaml(value)?,
        None => serde_json::to_string(value).map_err(bad_value)?,
    };
    Ok(text.replace('$', "$$"))
}

fn bad_value(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::BadSerialization, error.to_string())
}
