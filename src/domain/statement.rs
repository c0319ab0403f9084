//! SQL statements with named parameters: `SELECT tenant FROM organization WHERE status = :status`.
//!
//! Only as much of SQL is understood as tells where a parameter can be: strings, quoted names, comments and casts are
//! passed over, each as the database in question reads them. What a parameter holds never becomes part of the text.

use std::fmt;

use thiserror::Error;

use super::excerpt;

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// One statement that reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter(String),
}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// It is something else than a query.
    #[error("expected one query that reads, which begins with `SELECT`, `WITH`, `VALUES` or `TABLE`, got `{}`", excerpt(.0))]
    NoQuery(String),
    /// There is more behind its end.
    #[error("expected one query, got more behind its `;`")]
    Several,
    /// A string, a name or a comment does not end.
    #[error("`{0}` without its end")]
    Open(&'static str),
    /// A parameter without a name of its own.
    #[error("parameters have names, as `:status`; got `{}`", excerpt(.0))]
    Unnamed(String),
    /// No database takes it.
    #[error("it holds a NUL character")]
    Nul,
}

impl Statement {
    /// Reads a statement as that database would.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, StatementError> {
        if text.contains('\0') {
            return Err(StatementError::Nul);
        }
        let mut reader = Reader { rest: text, dialect, pieces: Vec::new(), text: String::new() };
        let mut first = None;
        loop {
            let before = reader.rest;
            let Some(token) = reader.token()? else { break };
            match token {
                Token::Blank => {}
                Token::End => {
                    // What was copied with it is no part of the statement.
                    reader.text.pop();
                    reader.nothing_more()?;
                    break;
                }
                Token::Other if first.is_none() && before.starts_with('(') => {}
                Token::Word | Token::Other => {
                    first.get_or_insert(&before[..before.len() - reader.rest.len()]);
                }
            }
        }
        let first = first.unwrap_or_default();
        if !["select", "with", "values", "table"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return Err(StatementError::NoQuery(first.to_owned()));
        }
        reader.flush();
        Ok(Self { pieces: reader.pieces })
    }

    /// The names of the parameters, one for each place, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with what `place` says in the place of each parameter, which are counted from 0.
    pub fn render(&self, mut place: impl FnMut(usize) -> String) -> String {
        let mut count = 0;
        self.pieces.iter().fold(String::new(), |mut sql, piece| {
            match piece {
                Piece::Text(text) => sql.push_str(text),
                Piece::Parameter(_) => {
                    // Apart from what is before and behind, which may be a name that goes on.
                    sql.push(' ');
                    sql.push_str(&place(count));
                    sql.push(' ');
                    count += 1;
                }
            }
            sql
        })
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Statement").field(&self.pieces).finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// White space or a comment.
    Blank,
    /// A word, such as a keyword or a name.
    Word,
    /// The end of the statement.
    End,
    Other,
}

struct Reader<'a> {
    rest: &'a str,
    dialect: Dialect,
    pieces: Vec<Piece>,
    text: String,
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Reader<'a> {
    /// Reads one token and keeps it.
    fn token(&mut self) -> Result<Option<Token>, StatementError> {
        let postgres = self.dialect == Dialect::Postgres;
        let mut chars = self.rest.chars();
        let Some(c) = chars.next() else { return Ok(None) };
        let next = chars.next();
        match (c, next) {
            ('-', Some('-')) => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.keep(end);
                return Ok(Some(Token::Blank));
            }
            ('/', Some('*')) => {
                self.comment()?;
                return Ok(Some(Token::Blank));
            }
            ('\'', _) => self.quoted('\'', "'", false)?,
            ('"', _) => self.quoted('"', "\"", false)?,
            ('`', _) if !postgres => self.quoted('`', "`", false)?,
            ('[', _) if !postgres => {
                let end = self.rest.find(']').ok_or(StatementError::Open("["))?;
                self.keep(end + 1);
            }
            ('$', next) if postgres && !next.is_some_and(|c| c.is_ascii_digit()) => self.dollars()?,
            // A cast, and in PostgreSQL `:=`.
            (':', Some(':' | '=')) => self.keep(2),
            (':', Some(next)) if next.is_ascii_alphabetic() || next == '_' => self.parameter(),
            (':', Some(next)) if next.is_ascii_digit() && !postgres => return Err(self.unnamed()),
            ('?', _) if !postgres => return Err(self.unnamed()),
            ('$', _) => return Err(self.unnamed()),
            ('@', Some(next)) if !postgres && is_in_name(next) => return Err(self.unnamed()),
            (';', _) => {
                self.keep(1);
                return Ok(Some(Token::End));
            }
            (c, _) if c.is_whitespace() => {
                self.keep(c.len_utf8());
                return Ok(Some(Token::Blank));
            }
            (c, _) if begins_word(c) => {
                self.word()?;
                return Ok(Some(Token::Word));
            }
            // A number is no word, but what follows it at once is none either.
            (c, _) if c.is_ascii_digit() => {
                let end = self.rest.find(|c: char| !is_in_name(c)).unwrap_or(self.rest.len());
                self.keep(end);
            }
            (c, _) => self.keep(c.len_utf8()),
        }
        Ok(Some(Token::Other))
    }

    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.text.push_str(kept);
        self.rest = rest;
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(&mut self.text)));
        }
    }

    fn parameter(&mut self) {
        let name = &self.rest[1..];
        let name = &name[..name.find(|c: char| !is_in_name(c)).unwrap_or(name.len())];
        self.flush();
        self.pieces.push(Piece::Parameter(name.to_owned()));
        self.rest = &self.rest[1 + name.len()..];
    }

    /// A word; in PostgreSQL `E'…'` is a string in which a backslash takes the next character with it.
    fn word(&mut self) -> Result<(), StatementError> {
        let dollar = self.dialect == Dialect::Postgres;
        let goes_on = |c: char| begins_word(c) || c.is_ascii_digit() || (dollar && c == '$');
        let word: &'a str = &self.rest[..self.rest.find(|c: char| !goes_on(c)).unwrap_or(self.rest.len())];
        self.keep(word.len());
        if dollar && word.eq_ignore_ascii_case("e") && self.rest.starts_with('\'') {
            self.quoted('\'', "'", true)?;
            // Such a string may go on in the next line.
            while let Some(gap) = self.continued() {
                self.keep(gap);
                self.quoted('\'', "'", true)?;
            }
        }
        Ok(())
    }

    /// How far away the string goes on that has just ended.
    fn continued(&self) -> Option<usize> {
        let gap = self.rest.find(|c: char| !c.is_ascii_whitespace())?;
        (self.rest[..gap].contains(['\n', '\r']) && self.rest[gap..].starts_with('\'')).then_some(gap)
    }

    /// Something between quotes, which are doubled inside.
    fn quoted(&mut self, quote: char, open: &'static str, escapes: bool) -> Result<(), StatementError> {
        let mut inside = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = inside.next() {
            if escapes && c == '\\' {
                inside.next();
            } else if c == quote && inside.next_if(|(_, next)| *next == quote).is_none() {
                self.keep(at + quote.len_utf8());
                return Ok(());
            }
        }
        Err(StatementError::Open(open))
    }

    /// A comment; PostgreSQL's may hold others.
    fn comment(&mut self) -> Result<(), StatementError> {
        let (mut depth, mut at) = (1, 2);
        while depth > 0 {
            let rest = &self.rest[at..];
            let end = rest.find("*/").ok_or(StatementError::Open("/*"))?;
            let inner = rest.find("/*").filter(|begin| *begin < end && self.dialect == Dialect::Postgres);
            if let Some(begin) = inner {
                depth += 1;
                at += begin + 2;
            } else {
                depth -= 1;
                at += end + 2;
            }
        }
        self.keep(at);
        Ok(())
    }

    /// `$$…$$` or `$tag$…$tag$`.
    fn dollars(&mut self) -> Result<(), StatementError> {
        let tag = &self.rest[1..];
        let tag = &tag[..tag.find(|c: char| !(begins_word(c) || c.is_ascii_digit())).unwrap_or(tag.len())];
        let open = 1 + tag.len();
        if !self.rest[open..].starts_with('$') {
            return Err(self.unnamed());
        }
        let quote = &self.rest[..=open];
        let end = self.rest[quote.len()..].find(quote).ok_or(StatementError::Open("$$"))?;
        self.keep(quote.len() + end + quote.len());
        Ok(())
    }

    fn unnamed(&self) -> StatementError {
        let name = &self.rest[1..];
        let end = name.find(|c: char| !is_in_name(c)).unwrap_or(name.len());
        StatementError::Unnamed(self.rest[..=end].to_owned())
    }

    /// That only comments and white space are left.
    fn nothing_more(&mut self) -> Result<(), StatementError> {
        let kept = self.text.len();
        while let Some(token) = self.token()? {
            if token != Token::Blank {
                return Err(StatementError::Several);
            }
        }
        self.text.truncate(kept);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
