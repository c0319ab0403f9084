//! A generator's keys, and what contradicts itself in them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Build, Ci, Forks, Generator, Hold, NoChecks, Refresh, Skipped, UnlabelledTags, duration,
    parts::{guard, sql, usual_guard},
    plugins::plugins,
    read::{Field, Map, all},
};
use crate::domain::{ImageName, ImageSpec, Names, OutputTemplate, READY, Repo, TAKEN_KEYS, TagTemplate, excerpt};

/// What an absent key means; the schema tells the same.
pub(super) mod defaults {
    use std::time::Duration;

    pub(crate) const PENDING: Duration = Duration::from_secs(15);
    pub(crate) const SETTLED: Duration = Duration::from_mins(5);
    pub(crate) const AHEAD: bool = true;
    pub(crate) const SETTLE: Duration = Duration::from_secs(15);
    pub(crate) const IGNORE: [&str; 1] = ["argocd/*"];
    pub(crate) const WALK: u32 = 20;
    pub(crate) const ANY_SET: &str = "*";
}

/// The most commits that are looked at.
pub(super) const WALK_MAX: u32 = 100;

/// The form of a generator's name, for the schema.
pub(super) const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";

/// The form of an answer's key, for the schema.
pub(super) const KEY_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The first parts of paths that no generator can take.
const TAKEN_PATHS: [&str; 1] = ["api"];

/// All generators.
pub(super) fn generators(field: &Field<'_>) -> Option<BTreeMap<String, Generator>> {
    let map = field.map("a map with at least one generator")?;
    let read = all(map.named().map(|(name, field)| {
        if !is_name(name) {
            map.key_error(name, "a generator's name has lower-case letters, digits and `-` inside, at most 63");
        } else if TAKEN_PATHS.contains(&name) {
            map.key_error(name, "no generator can have this name, which is a path of its own");
        }
        Some((name.to_owned(), generator(&field)?))
    }))?;
    if read.is_empty() {
        field.error("expected at least one generator");
        return None;
    }
    Some(read.into_iter().collect())
}

fn generator(field: &Field<'_>) -> Option<Generator> {
    let mut map = field.map("a map with `build`, `sql` or `plugins`, and more")?;
    let token_file = map.maybe("tokenFile", Field::file);
    let application_sets = map.or("allow", any_set(), |field| {
        let mut map = field.map("a map with `applicationSets`")?;
        let sets = map.or("applicationSets", any_set(), |field| {
            field.texts("a list of names of ApplicationSets", "the name of an ApplicationSet")
        });
        map.finish(&[]);
        sets
    });
    let of_build = ["hold", "forks", "refresh"].map(|name| map.field_of(name));
    let hold = map.or("hold", Hold::Forever, hold);
    let forks =
        map.or("forks", Forks::Refuse, |field| field.choice(&[("refuse", Forks::Refuse), ("allow", Forks::Allow)]));
    let usual = Refresh { pending: defaults::PENDING, settled: defaults::SETTLED, ahead: defaults::AHEAD };
    let refresh = map.or("refresh", usual, refresh);
    let (build_field, sql_field, guard_field) = (map.get("build"), map.get("sql"), map.get("guard"));
    let build = build_field.as_ref().map(build);
    let sql = sql_field.as_ref().map(sql);
    let guard = guard_field.as_ref().map(guard);
    let plugins_field = map.get("plugins");
    let plugins = plugins_field.as_ref().map(plugins);
    if build.is_none() && sql.is_none() && plugins.is_none() {
        map.missing(
            "build",
            "a map with `repository` and `images`; or `sql`, a map with `url` and `query`; or `plugins`, a map with plugins",
        );
    }
    map.finish(&[]);
    if build.is_none() {
        for field in of_build.into_iter().flatten() {
            field.warn("this means something beside `build` only");
        }
    }
    let guard = match guard {
        Some(guard) => guard?,
        None => Some(usual_guard()),
    };
    // What is wrong was reported.
    let (build, sql, plugins) = match (build, sql, plugins) {
        (Some(None), ..) | (_, Some(None), _) | (.., Some(None)) | (None, None, None) => return None,
        (build, sql, plugins) => (build.flatten(), sql.flatten(), plugins.flatten().unwrap_or_default()),
    };
    Some(Generator {
        token_file: token_file?,
        application_sets: application_sets?,
        hold: hold?,
        forks: forks?,
        refresh: refresh?,
        guard,
        build,
        sql,
        plugins,
    })
}

/// Whoever brings a token.
fn any_set() -> Vec<String> {
    vec![defaults::ANY_SET.to_owned()]
}

fn hold(field: &Field<'_>) -> Option<Hold> {
    let what = format!("`forever`, `never` or {}", duration::FORM);
    match field.text(&what)? {
        "forever" => Some(Hold::Forever),
        "never" => Some(Hold::Never),
        text => match duration::parse(text) {
            Some(time) if !time.is_zero() => Some(Hold::For(time)),
            _ => field.expected(what),
        },
    }
}

fn refresh(field: &Field<'_>) -> Option<Refresh> {
    let mut map = field.map("a map with `pending`, `settled` and `ahead`")?;
    let range = Duration::from_secs(5)..=Duration::from_mins(10);
    let pending = map.or("pending", defaults::PENDING, |field| field.duration(range));
    let settled_field = map.get("settled");
    let range = Duration::from_secs(5)..=Duration::from_hours(1);
    let settled = settled_field.as_ref().map_or(Some(defaults::SETTLED), |field| field.duration(range));
    let ahead = map.or("ahead", defaults::AHEAD, Field::boolean);
    let whole = map.whole().clone();
    map.finish(&[]);
    let (pending, settled) = (pending?, settled?);
    if settled < pending {
        let (settled, pending) = (duration::show(settled), duration::show(pending));
        let message = format!("`settled` ({settled}) must not be shorter than `pending` ({pending})");
        settled_field.as_ref().unwrap_or(&whole).error(message);
    }
    Some(Refresh { pending, settled, ahead: ahead? })
}

fn build(field: &Field<'_>) -> Option<Build> {
    let mut map = field.map("a map with `repository` and `images`")?;
    let repository = map.require("repository", "a repository as `owner/name`").and_then(|field| repository(&field));
    let images_field = map.require("images", "a map with at least one image");
    let images = images_field.as_ref().and_then(images);
    let unlabelled_tags = map.or("unlabelledTags", UnlabelledTags::Refuse, |field| {
        field.choice(&[("refuse", UnlabelledTags::Refuse), ("trustHead", UnlabelledTags::TrustHead)])
    });
    let ci = map.or("ci", usual_ci(), ci);
    let walk = map.or("walk", defaults::WALK, |field| {
        field.integer(1..=WALK_MAX.into()).and_then(|walk| u32::try_from(walk).ok())
    });
    // The keys of images that are wrong too: what names them is no second error.
    let keys = images_field.and_then(|field| field.keys());
    let outputs = map.or("outputs", Vec::new(), |field| outputs(field, keys.as_deref()));
    map.finish(&[]);
    Some(Build {
        repository: repository?,
        images: images?,
        unlabelled_tags: unlabelled_tags?,
        ci: ci?,
        walk: walk?,
        outputs: outputs?,
    })
}

fn repository(field: &Field<'_>) -> Option<Repo> {
    let what = "a repository as `owner/name`";
    if field.text(what)?.contains('*') {
        field.error("patterns are not supported yet; expected a repository as `owner/name`");
        return None;
    }
    field.parse(what)
}

fn images(field: &Field<'_>) -> Option<Vec<ImageSpec>> {
    let map = field.map("a map with at least one image")?;
    let images = all(map.named().map(|(key, field)| {
        check_key(&map, key);
        if OutputTemplate::is_taken(key) && !TAKEN_KEYS.contains(&key) {
            map.key_error(key, format_args!("no image can have this key: `{{{key}}}` is a placeholder of `outputs`"));
        }
        let candidates = if field.is_list() {
            all(field.list("a list of images")?.iter().map(candidate))?
        } else {
            vec![candidate(&field)?]
        };
        if candidates.is_empty() {
            field.error("expected at least one image as `host/name:tag-template`");
            return None;
        }
        Some(ImageSpec { key: key.to_owned(), candidates })
    }))?;
    if images.is_empty() {
        field.error("expected at least one image");
        return None;
    }
    check_one_commit(field, &images);
    Some(images)
}

fn candidate(field: &Field<'_>) -> Option<(ImageName, TagTemplate)> {
    let text = field.text("an image as `host/name:tag-template`")?;
    let refuse = |error| field.error(format_args!("`{}`: {error}", excerpt(text)));
    ImageSpec::candidate(text).map_err(refuse).ok()
}

/// A set is of one commit only if all its images name the head, or all the test merge. A moving tag may do either.
fn check_one_commit(field: &Field<'_>, images: &[ImageSpec]) {
    let only = |names: Names| {
        images.iter().find(|image| image.candidates.iter().all(|(_, template)| template.names() == names))
    };
    if let (Some(head), Some(merge)) = (only(Names::Head), only(Names::TestMerge)) {
        field.error(format_args!(
            "`{}` and `{}` can never be of one commit: the tags of the first name the head commit (`{{sha}}`), those of \
             the second its test merge (`{{merge_sha}}`); use one of the two for both, or a list with both",
            head.key, merge.key
        ));
    }
}

fn usual_ci() -> Ci {
    Ci {
        require: Vec::new(),
        ignore: defaults::IGNORE.map(str::to_owned).into(),
        skipped: Skipped::Pass,
        no_checks: NoChecks::Wait,
        settle: defaults::SETTLE,
    }
}

fn ci(field: &Field<'_>) -> Option<Ci> {
    let usual = usual_ci();
    let mut map = field.map("a map with `require`, `ignore` and more")?;
    let require = map.or("require", usual.require, checks);
    let ignore = map.or("ignore", usual.ignore, checks);
    let skipped =
        map.or("skipped", usual.skipped, |field| field.choice(&[("pass", Skipped::Pass), ("fail", Skipped::Fail)]));
    let no_checks = map
        .or("noChecks", usual.no_checks, |field| field.choice(&[("wait", NoChecks::Wait), ("pass", NoChecks::Pass)]));
    let settle = map.or("settle", usual.settle, |field| field.duration(Duration::ZERO..=Duration::from_hours(1)));
    map.finish(&[]);
    Some(Ci { require: require?, ignore: ignore?, skipped: skipped?, no_checks: no_checks?, settle: settle? })
}

fn checks(field: &Field<'_>) -> Option<Vec<String>> {
    field.texts("a list of names of checks", "the name of a check")
}

/// Where it is not known which images there are, nothing is said of the templates.
fn outputs(field: &Field<'_>, images: Option<&[&str]>) -> Option<Vec<(String, OutputTemplate)>> {
    let map = field.map("a map of names and templates")?;
    all(map.named().map(|(name, field)| {
        check_key(&map, name);
        let (text, images) = (field.template()?, images?);
        if images.contains(&name) {
            map.key_error(name, "an image has this key");
        }
        let refuse = |error| field.error(format_args!("`{}`: {error}", excerpt(text)));
        Some((name.to_owned(), OutputTemplate::parse(text, images).map_err(refuse).ok()?))
    }))
}

/// The rules for each key of an item.
fn check_key(map: &Map<'_>, key: &str) {
    if TAKEN_KEYS.contains(&key) {
        map.key_error(key, "no key of an answer can have this name: Argo CD fills it itself");
    } else if key == READY {
        map.key_error(
            key,
            "no key of an answer can have this name: it says for all pull requests at once whether each has something",
        );
    } else if !is_key(key) {
        map.key_error(key, "a key of an answer has letters, digits and `_`, and no digit first");
    }
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_name(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(inside) && !name.starts_with('-') && !name.ends_with('-')
}
