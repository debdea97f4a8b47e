//! Where do settings come from, and what is said about a wrong one?

use std::{
    io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::Config;

/// Every variable that begins so is a setting: `KITH_SERVER_NAME`, `KITH_REGISTRATION__OPEN`.
const PREFIX: &str = "KITH_";

/// Why there is no configuration. The messages are for the operator and repeat no value that a
/// secret might be part of.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}, line {line}: {message}", path.display())]
    File { path: PathBuf, line: usize, message: String },
    #[error("environment variable {variable}: {message}")]
    Environment { variable: String, message: String },
    /// One line for each problem.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl Config {
    /// Reads the file if there is one, then the variables, which win, then looks at the whole.
    ///
    /// A variable's value is written as in the file (`true`, `[1, 2]`, `{ a = 1 }`); the quotes
    /// around text can be left out.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = match path {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let path = path.unwrap_or(Path::new("kith.toml"));
        let from_file = parse(path, &text)?;
        let variables: Vec<_> =
            environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        let config = if variables.is_empty() {
            from_file
        } else {
            with_variables(&text.parse().unwrap_or_default(), variables)?
        };
        config.validate()?;
        Ok(config)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })
}

/// toml's own message would show the line itself, which may hold a secret.
fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let newlines = text.as_bytes()[..start].iter().filter(|b| **b == b'\n');
        ConfigError::File {
            path: path.to_owned(),
            line: newlines.count() + 1,
            message: error.message().to_owned(),
        }
    })
}

struct Variable {
    name: String,
    text: String,
    value: Value,
    /// What was wrong with the value as a number, switch or list; since then it is taken as text.
    failure: Option<String>,
}

impl Variable {
    fn new((name, text): (String, String)) -> Self {
        let value = parse_value(&text).unwrap_or_else(|| Value::String(text.clone()));
        Self { name, text, value, failure: None }
    }
}

/// What reads as a number or a switch may be meant as text (a password `1234`): that is found out
/// by trying.
fn with_variables(file: &Table, variables: Vec<(String, String)>) -> Result<Config, ConfigError> {
    let mut variables: Vec<_> = variables.into_iter().map(Variable::new).collect();
    loop {
        let message = match build(file, &variables, None) {
            Ok(config) => return Ok(config),
            Err(message) => message,
        };
        // The file alone is valid: without the wrong variable there is another error or none.
        let to_blame = (0..variables.len())
            .find(|&index| build(file, &variables, Some(index)).err().as_ref() != Some(&message));
        let Some(index) = to_blame else {
            return Err(ConfigError::Invalid(vec![message]));
        };
        let variable = &mut variables[index];
        let text = Value::String(variable.text.clone());
        if variable.value == text {
            return Err(ConfigError::Environment {
                variable: variable.name.clone(),
                message: variable.failure.take().unwrap_or(message),
            });
        }
        variable.value = text;
        variable.failure = Some(message);
    }
}

fn build(file: &Table, variables: &[Variable], without: Option<usize>) -> Result<Config, String> {
    let mut table = file.clone();
    for (index, variable) in variables.iter().enumerate() {
        if Some(index) == without {
            continue;
        }
        let path = variable.name[PREFIX.len()..].to_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        set(&mut table, &path, variable.value.clone())
            .ok_or_else(|| format!("{} is no section", path[..path.len() - 1].join(".")))?;
    }
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

fn parse_value(text: &str) -> Option<Value> {
    let mut table: Table = format!("value = {text}").parse().ok()?;
    (table.len() == 1).then(|| table.remove("value"))?
}

fn set(table: &mut Table, path: &[&str], value: Value) -> Option<()> {
    let (last, sections) = path.split_last()?;
    let mut table = table;
    for section in sections {
        table =
            table.entry(*section).or_insert_with(|| Value::Table(Table::new())).as_table_mut()?;
    }
    table.insert((*last).to_owned(), value);
    Some(())
}
