//! Who may know whom: the rules of the house, read off the paths that the sources name.
//!
//! Comments and unit tests are left out: a test may reach across.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The modules of the crate, each with the modules that it may use beside itself; a path is that one item.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &["clock::Moment"]),
    ("clock", &[]),
    ("database", &[]),
    ("trace", &["clock"]),
    ("upstream", &["clock", "trace"]),
    ("github", &["domain", "upstream", "clock"]),
    ("registry", &["domain", "upstream", "clock"]),
    ("ledger", &["database", "domain", "clock", "upstream"]),
    ("kubernetes", &["domain", "clock", "upstream"]),
    ("parts", &["database", "domain", "clock", "upstream", "github", "registry", "ledger", "kubernetes"]),
    ("operator", &["clock", "domain", "ledger", "kubernetes", "parts"]),
    ("generator", &["domain", "clock", "ledger", "parts", "upstream"]),
    (
        "explain",
        &[
            "clock",
            "domain",
            "generator",
            "github",
            "ledger",
            "parts",
            // What services say of themselves is told; none is asked.
            "registry::Registries",
            "upstream::Quota",
            "upstream::Terms",
            "upstream::Trouble",
        ],
    ),
    ("metrics", &["domain", "upstream", "github", "registry", "ledger", "generator"]),
    ("http", &["domain", "clock", "upstream", "generator", "operator", "explain", "metrics", "trace"]),
    ("config", &["domain"]),
    ("background", &["clock"]),
    (
        "app",
        &[
            "background",
            "clock",
            "config",
            "domain",
            "explain",
            "generator",
            "github",
            "http",
            "kubernetes",
            "ledger",
            "metrics",
            "operator",
            "parts",
            "registry",
            "trace",
            "upstream",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "clock",
            "config",
            "domain",
            "generator",
            "github",
            "kubernetes",
            "ledger",
            "metrics",
            "operator",
            "parts",
            "upstream",
        ],
    ),
    ("fuzzing", &["config", "domain", "github", "http", "kubernetes", "parts", "registry", "trace"]),
    ("main", &["cli"]),
];

/// Crates that are known in few places, each with the beginnings of the paths that may name it.
const AT_HOME: &[(&str, &[&str])] = &[
    ("octocrab", &["github/"]),
    ("oci_distribution", &["registry/"]),
    ("reqwest", &["github/", "registry/", "upstream/", "parts/plugins/", "cli/service.rs"]),
    ("axum", &["http/", "app.rs"]),
    ("hyper", &["http/", "github/", "kubernetes/"]),
    ("hyper_util", &["http/", "github/", "kubernetes/"]),
    ("maud", &["http/explain/"]),
    ("kube", &["kubernetes/"]),
    ("k8s_openapi", &["kubernetes/"]),
    ("sqlx", &["ledger/store", "parts/sql/"]),
    ("moka", &["upstream/"]),
    ("governor", &["upstream/", "http/pace.rs"]),
    ("clap", &["cli.rs", "cli/", "main.rs"]),
    ("anyhow", &["app.rs", "app/", "cli.rs", "cli/"]),
    ("serde_saphyr", &["config/"]),
    ("schemars", &["config/"]),
    ("opentelemetry", &["trace/", "upstream/collector/"]),
    ("opentelemetry_sdk", &["trace/", "upstream/collector/"]),
    ("opentelemetry_http", &["upstream/collector/"]),
    ("opentelemetry_otlp", &["upstream/collector/"]),
    ("tracing_subscriber", &["cli.rs"]),
];

/// What the domain does without: everything that does something.
const NOT_IN_DOMAIN: &[&str] =
    &["tokio", "http", "hyper", "tracing", "futures_util", "std::fs", "std::net", "std::env"];

/// A source file: its path below `src/`, and its text without comments and unit tests.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The top-level module that it belongs to.
    fn module(&self) -> &str {
        let top = self.path.split('/').next().unwrap();
        top.strip_suffix(".rs").unwrap_or(top)
    }

    /// How deep its module lies: 1 for `app.rs`.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// All paths into the crate, without `crate::`: `clock::Moment`, `domain`.
    fn paths(&self) -> BTreeSet<String> {
        let root = "super::".repeat(self.depth());
        let roots = ["crate::", "lastgreen::", &root];
        roots.iter().flat_map(|root| after(&self.text, root)).flat_map(paths).collect()
    }

    /// Whether it names a crate or a module of one.
    fn names(&self, outside: &str) -> bool {
        after(&self.text, &format!("{outside}::")).next().is_some()
            || self.text.contains(&format!("use {outside};"))
            || self.text.contains(&format!("use {outside} as "))
    }
}

/// What follows each occurrence of a path's beginning.
fn after<'a>(text: &'a str, beginning: &str) -> impl Iterator<Item = &'a str> {
    let is_inside = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    text.match_indices(beginning)
        .filter(move |(at, _)| !is_inside(&text[..*at]))
        .map(|(at, found)| &text[at + found.len()..])
}

/// The paths that a text begins with: one, or those of a tree in braces.
fn paths(text: &str) -> Vec<String> {
    let Some(tree) = text.strip_prefix('{') else {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
        let path = &text[..end];
        return match path.strip_suffix("::") {
            Some(parent) if text[end..].starts_with('{') => {
                paths(&text[end..]).into_iter().map(|below| format!("{parent}::{below}")).collect()
            }
            _ => vec![path.trim_end_matches(':').to_owned()],
        };
    };
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let branch = tree[start..at].trim();
                if !branch.is_empty() {
                    found.extend(paths(branch));
                }
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, "", &mut found);
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if name == "tests" || name == "tests.rs" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let text = production(&fs::read_to_string(entry.path()).unwrap());
            found.push(Source { path, text });
        }
    }
}

/// The text without comments, and without the unit tests, which end a file.
fn production(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn modules_know_only_whom_they_may() {
    let rules: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let module = source.module();
        let Some(allowed) = rules.get(module) else {
            broken.push(format!("src/{}: the module `{module}` has no rule yet", source.path));
            continue;
        };
        for path in source.paths() {
            let top = path.split("::").next().unwrap();
            let may = top == module || allowed.iter().any(|allowed| *allowed == top || *allowed == path);
            if !may {
                broken.push(format!("src/{}: `{module}` may not know `{path}`", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn foreign_crates_stay_where_they_are_at_home() {
    let mut broken = Vec::new();
    for source in sources() {
        for (outside, homes) in AT_HOME {
            if source.names(outside) && !homes.iter().any(|home| source.path.starts_with(home)) {
                broken.push(format!("src/{}: `{outside}` is at home in {} only", source.path, homes.join(", ")));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_domain_does_nothing() {
    for source in sources().iter().filter(|source| source.module() == "domain") {
        for outside in NOT_IN_DOMAIN {
            assert!(!source.names(outside), "src/{}: the domain names `{outside}`", source.path);
        }
    }
}

#[test]
fn the_rules_are_read_off_what_is_there() {
    let sources = sources();
    let of = |module: &str| -> BTreeSet<String> {
        sources.iter().filter(|source| source.module() == module).flat_map(Source::paths).collect()
    };
    assert!(of("app").contains("parts::build::BuildPart"), "{:?}", of("app"));
    assert!(of("domain").contains("clock::Moment"));
    assert!(of("main").contains("cli::run"), "{:?}", of("main"));
    for (outside, homes) in AT_HOME {
        assert!(sources.iter().any(|source| source.names(outside)), "nobody names `{outside}`");
        for home in *homes {
            let known = |source: &&Source| source.path.starts_with(home);
            assert!(sources.iter().any(|source| known(&source)), "`{home}` is not there");
        }
    }
    for (module, _) in MAY_USE {
        assert!(sources.iter().any(|source| source.module() == *module), "`{module}` is not there");
    }
}

#[test]
fn paths_are_read_out_of_use_trees() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: production(text) };
    let text = "use crate::{clock::{Moment, SharedClock}, domain::{self, Repo as R},\n upstream};\n\
                use super::super::ledger::Ledger;\nuse super::own::Thing;\n// crate::http::serve\n\
                fn f(x: crate::config::Config) {}\n#[cfg(test)]\nmod tests { use crate::cli; }";
    let found = source("parts/build.rs", text).paths();
    let expected = [
        "clock::Moment",
        "clock::SharedClock",
        "config::Config",
        "domain::Repo",
        "domain::self",
        "ledger::Ledger",
        "upstream",
    ];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert!(source("a.rs", "use octocrab as o;").names("octocrab"));
    assert!(source("a.rs", "let x = http::StatusCode::OK;").names("http"));
    assert!(!source("a.rs", "let x = my_http::StatusCode::OK;").names("http"));
}
