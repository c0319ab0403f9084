//! What is wrong with a configuration, and where.

use std::{error, fmt};

/// One thing that is wrong: `config.yaml:12:5: generators.preview.build.walk: expected …, got …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The key with all that it lies in; empty where no key is to blame.
    pub key: String,
    /// What is wrong; never a secret's content.
    pub message: String,
}

/// Something that works but may not be meant, in the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub ConfigError);

/// All that is wrong with a configuration, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ConfigErrors {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl error::Error for ConfigError {}
impl error::Error for ConfigErrors {}
