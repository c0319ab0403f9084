//! What an address asks for, and addresses that ask for it.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};

use super::PATH;
use crate::{
    domain::{Repo, excerpt},
    explain::{Filter, Number, Order, Row, Sort, State, Which},
};

/// A query, parsed. What is empty is absent: an untouched field of a form is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) which: Which,
    pub(super) filter: Filter,
    pub(super) format: Format,
    /// Whether the page stays as it is.
    pub(super) still: bool,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// Whatever the headers say.
    #[default]
    Any,
    Html,
    Json,
}

impl Format {
    /// A page for whoever says that pages are welcome, which browsers do.
    pub(super) fn settle(self, headers: &HeaderMap) -> Self {
        let accept = || headers.get_all(header::ACCEPT).iter().any(|accept| contains(accept.as_bytes(), b"text/html"));
        match self {
            Self::Any if accept() => Self::Html,
            Self::Any => Self::Json,
            said => said,
        }
    }
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window.eq_ignore_ascii_case(what))
}

impl Query {
    /// Parses what follows the `?`, or a form; parameters that are not known are somebody else's.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            let wrong = |expected: &str| format!("`{key}` must be {expected}, not `{}`", excerpt(&value));
            match &*key {
                "generator" => {
                    query.which.generator = Some(value.to_string());
                    query.filter.generator = Some(value.to_string());
                }
                "repository" => {
                    let name: Repo = value.parse().map_err(|_| wrong("a repository as `owner/name`"))?;
                    query.which.repository = Some(name.clone());
                    query.filter.repository = Some(name);
                }
                "about" => query.which.about = Some(value.to_string()),
                "branch" => query.which.branch = Some(value.to_string()),
                "number" if value == "none" => query.which.number = Number::None,
                "number" => {
                    let number = value.parse().map_err(|_| wrong("a pull request's number, or `none`"))?;
                    query.which.number = Number::Is(number);
                }
                "repositoryId" => {
                    query.which.repository_id = Some(value.parse().map_err(|_| wrong("GitHub's number of it"))?);
                }
                "q" => query.filter.text = value.to_string(),
                "standing" => {
                    let words = State::ALL.map(|state| format!("`{}`", state.as_str())).join(", ");
                    query.filter.state = Some(State::parse(&value).ok_or_else(|| wrong(&format!("one of {words}")))?);
                }
                "sort" => {
                    let words = Sort::ALL.map(|sort| format!("`{}`", sort.as_str())).join(", ");
                    query.filter.sort = Sort::parse(&value).ok_or_else(|| wrong(&format!("one of {words}")))?;
                }
                "order" => {
                    query.filter.order = Some(match &*value {
                        "asc" => Order::Up,
                        "desc" => Order::Down,
                        _ => return Err(wrong("`asc` or `desc`")),
                    });
                }
                "page" => query.filter.page = value.parse().map_err(|_| wrong("a number from 1 on"))?,
                "format" => {
                    query.format = match &*value {
                        "html" => Format::Html,
                        "json" => Format::Json,
                        _ => return Err(wrong("`html` or `json`")),
                    }
                }
                "refresh" => query.still = value == "off",
                _ => {}
            }
        }
        Ok(query)
    }

    /// Whether one line is asked for, and not the list.
    pub(super) fn means_a_line(&self) -> bool {
        self.which.branch.is_some() || self.which.number != Number::Any || self.which.about.is_some()
    }

    /// Its address, but for the format.
    pub(super) fn address(&self) -> String {
        let mut address = if self.means_a_line() { Address::default().which(&self.which) } else { list(&self.filter) };
        if self.still {
            address.put("refresh", "off");
        }
        address.text()
    }

    /// The address of the same page with another filter.
    pub(super) fn with(&self, change: impl FnOnce(&mut Filter)) -> String {
        let mut other = Self { which: Which::default(), ..self.clone() };
        other.filter.page = 0;
        change(&mut other.filter);
        other.address()
    }
}

/// The address of a line's story.
pub(super) fn of_line(row: &Row) -> String {
    let generator = Some(row.generator.clone());
    if row.about.is_some() {
        return Address::default().which(&Which { generator, about: row.about.clone(), ..Which::default() }).text();
    }
    let which = Which {
        generator,
        branch: row.branch.clone(),
        number: row.number.map_or(Number::None, Number::Is),
        // The number says more, where it is known.
        repository: row
            .repository
            .as_deref()
            .filter(|_| row.repository_id.is_none())
            .and_then(|name| name.parse().ok()),
        repository_id: row.repository_id,
        about: None,
    };
    Address::default().which(&which).text()
}

fn list(filter: &Filter) -> Address {
    let mut address = Address::default();
    address.maybe("generator", filter.generator.as_deref());
    address.maybe("repository", filter.repository.as_ref().map(ToString::to_string).as_deref());
    address.maybe("q", Some(&*filter.text).filter(|text| !text.is_empty()));
    address.maybe("standing", filter.state.map(State::as_str));
    if filter.sort != Sort::default() {
        address.put("sort", filter.sort.as_str());
    }
    if let Some(order) = filter.order.filter(|order| *order != filter.sort.usual()) {
        address.put("order", if order == Order::Up { "asc" } else { "desc" });
    }
    if filter.page > 1 {
        address.put("page", &filter.page.to_string());
    }
    address
}

/// An address that is being written. Nothing comes into it that is not escaped.
#[derive(Default)]
struct Address(String);

impl Address {
    fn which(mut self, which: &Which) -> Self {
        self.maybe("generator", which.generator.as_deref());
        match which.number {
            Number::Is(number) => self.put("number", &number.to_string()),
            Number::None => self.put("number", "none"),
            Number::Any => {}
        }
        self.maybe("branch", which.branch.as_deref());
        self.maybe("about", which.about.as_deref());
        self.maybe("repository", which.repository.as_ref().map(ToString::to_string).as_deref());
        self.maybe("repositoryId", which.repository_id.map(|id| id.to_string()).as_deref());
        self
    }

    fn maybe(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn put(&mut self, key: &str, value: &str) {
        let before = if self.0.is_empty() { '?' } else { '&' };
        // Writing to a text cannot fail.
        let _ = write!(self.0, "{before}{key}=");
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }

    fn text(self) -> String {
        format!("{PATH}{}", self.0)
    }
}

/// The form's own token in a query.
pub(super) fn form_of(text: &str) -> Option<String> {
    form_urlencoded::parse(text.as_bytes()).find(|(key, _)| key == "form").map(|(_, value)| value.into_owned())
}

/// The query to go on with after signing in.
pub(super) fn next_of(text: &str) -> String {
    signing_in(text.as_bytes()).1
}

/// The token in a sign-in form, and the query to go on with.
pub(super) fn signing_in(body: &[u8]) -> (String, String) {
    let (mut token, mut next) = (String::new(), String::new());
    for (key, value) in form_urlencoded::parse(body) {
        match &*key {
            "token" => token = value.into_owned(),
            "next" => next = value.into_owned(),
            _ => {}
        }
    }
    (token, next)
}

/// The same address once more, marked as such.
pub(super) fn again(query: &str) -> String {
    let address = back_to(query);
    let before = if address.contains('?') { '&' } else { '?' };
    format!("{address}{before}again=1")
}

/// Whether an address is marked like that.
pub(super) fn is_again(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "again")
}

/// The address to go on with: here, whatever the query says.
pub(super) fn back_to(query: &str) -> String {
    Query::parse(query).unwrap_or_default().address()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_parsed_and_written() {
        let query = Query::parse(
            "generator=preview&q=red+%2312&standing=not-yet&sort=age&order=asc&page=3&refresh=off&zz=1&branch=",
        )
        .unwrap();
        assert_eq!((query.filter.page, query.filter.sort, query.still), (3, Sort::Age, true));
        assert_eq!(query.filter.text, "red #12");
        assert!(!query.means_a_line());
        let address = query.address();
        let written = "generator=preview&q=red+%2312&standing=not-yet&sort=age&order=asc&page=3&refresh=off";
        assert_eq!(address, format!("/explain?{written}"));
        assert_eq!(Query::parse(written).unwrap(), query);
        assert_eq!(query.with(|filter| *filter = Filter::default()), "/explain?refresh=off");
        assert_eq!(Query::default().address(), "/explain");
        let of_repository = Query::parse("generator=apps&repository=o/r").unwrap();
        assert!(!of_repository.means_a_line());
        assert_eq!(of_repository.address(), "/explain?generator=apps&repository=o%2Fr");
        let list = Query::parse("generator=tenants&about=inputs+%7B%7D").unwrap();
        assert!(list.means_a_line());
        assert_eq!(list.address(), "/explain?generator=tenants&about=inputs+%7B%7D");
        for (wrong, what) in [
            ("number=x", "`number` must be a pull request's number, or `none`, not `x`"),
            ("standing=odd", "`standing` must be one of `refused`, `unknown`, "),
            ("sort=odd", "`sort` must be one of `number`, `branch`, "),
            ("order=up", "`order` must be `asc` or `desc`"),
            ("page=-1", "`page` must be a number"),
            ("format=xml", "`format` must be `html` or `json`"),
            ("repositoryId=x", "`repositoryId` must be GitHub's number"),
            ("repository=x", "`repository` must be a repository as `owner/name`, not `x`"),
        ] {
            let error = Query::parse(wrong).unwrap_err();
            assert!(error.starts_with(what), "{error}");
        }
    }

    #[test]
    fn nobody_is_led_elsewhere() {
        for next in
            ["//evil.example", "https://evil.example", "\r\nSet-Cookie: a=b", "branch=//evil.example&x=\r\n", "page=x"]
        {
            let address = back_to(next);
            assert!(address == "/explain" || address.starts_with("/explain?"), "{address}");
            assert!(address.bytes().all(|byte| byte.is_ascii_graphic()), "{address}");
        }
        assert_eq!(back_to("branch=a/b&number=1"), "/explain?number=1&branch=a%2Fb");
        assert_eq!(
            (again(""), again("branch=a")),
            ("/explain?again=1".to_owned(), "/explain?branch=a&again=1".to_owned())
        );
        assert!(is_again("branch=a&again=1") && !is_again("branch=again"));
    }

    proptest! {
        #[test]
        fn every_line_has_an_address_that_means_it(
            generator in "\\PC{1,20}", branch in "\\PC{1,60}", number in proptest::option::of(1_u64..), id in any::<u64>(),
        ) {
            let which = Which {
                generator: Some(generator),
                about: None,
                repository: "o/r".parse().ok(),
                branch: Some(branch),
                number: number.map_or(Number::None, Number::Is),
                repository_id: Some(id),
            };
            let query = Query { which: which.clone(), ..Query::default() };
            let address = query.address();
            prop_assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>".contains(&byte)));
            prop_assert_eq!(Query::parse(address.strip_prefix("/explain?").unwrap()).unwrap().which, which);
        }
    }
}
