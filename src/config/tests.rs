//! What the reader says of files that are wrong, word by word, and what it makes of one that is right.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::domain::Repositories;

mod agreement;
mod parts;
mod plugins;
mod upstreams;

/// As little as is needed.
const SMALL: &str = "\
tokenFile: /t
github: { auth: { tokenFile: /g } }
generators:
  preview:
    build:
      repository: myorg/myrepo
      images:
        digestFront: ghcr.io/myorg/front:sha-{sha}
";

fn errors(text: &str) -> Vec<String> {
    Config::parse(text, "c").unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// The one error of [`SMALL`] with a line replaced or, if `old` is empty, lines appended.
#[track_caller]
fn error(old: &str, new: &str) -> String {
    let text = if old.is_empty() { format!("{SMALL}{new}") } else { SMALL.replace(old, new) };
    assert_ne!(text, SMALL, "nothing was replaced");
    let errors = errors(&text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors[0].clone()
}

/// The one error with a key of the generator.
#[track_caller]
fn in_generator(line: &str) -> String {
    error("    build:\n", &format!("    {line}\n    build:\n"))
}

/// The one error with a key of the build part.
#[track_caller]
fn in_build(line: &str) -> String {
    error("", &format!("      {line}\n"))
}

/// The one error with this image instead.
#[track_caller]
fn in_image(image: &str) -> String {
    error("ghcr.io/myorg/front:sha-{sha}", image)
}

#[test]
fn a_small_file_has_the_defaults() {
    let (config, warnings) = Config::parse(SMALL, "c").unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.listen.to_string(), "0.0.0.0:4355");
    assert_eq!(config.ops, Ops { listen: "0.0.0.0:9355".parse().unwrap(), token_file: None, explain: Explain::Token });
    assert_eq!((config.answer_within, config.drain_delay), (Duration::from_secs(10), Duration::from_secs(5)));
    let place = LedgerPlace::Sqlite("/var/lib/lastgreen/ledger.db".into());
    let (trust_after, forget_after) = (Duration::from_hours(1), Duration::from_hours(30 * 24));
    assert_eq!(config.ledger, Ledger { place, trust_after, forget_after });
    let github = config.github.unwrap();
    assert_eq!(github.api, "https://api.github.com");
    assert_eq!(github.auth, GitHubAuth::Token("/g".into()));
    assert_eq!((github.pace.per_second.get(), github.pace.concurrent.get()), (10, 8));
    assert!(config.registries.is_empty());
    let preview = &config.generators["preview"];
    assert_eq!((preview.hold, preview.forks), (Hold::Forever, Forks::Refuse));
    let refresh = Refresh { pending: Duration::from_secs(15), settled: Duration::from_mins(5), ahead: true };
    assert_eq!(preview.refresh, refresh);
    assert_eq!((preview.application_sets.as_slice(), &preview.token_file), (["*".to_owned()].as_slice(), &None));
    assert_eq!(preview.sql, None);
    assert_eq!(preview.guard.map(|guard| (guard.max_drop, guard.min_items)), Some((20, 5)));
    let build = preview.build.as_ref().unwrap();
    assert_eq!(build.repository.to_string(), "myorg/myrepo");
    assert_eq!(build.images.len(), 1);
    assert_eq!((build.unlabelled_tags, build.walk), (UnlabelledTags::Refuse, 20));
    let ci = Ci {
        require: vec![],
        ignore: vec!["argocd/*".to_owned()],
        skipped: Skipped::Pass,
        no_checks: NoChecks::Wait,
        settle: Duration::from_secs(15),
    };
    assert_eq!(build.ci, ci);
    assert!(build.outputs.is_empty());
}

#[test]
fn the_example_is_read() {
    let (config, warnings) = Config::parse(EXAMPLE, "example.yaml").unwrap();
    assert_eq!(warnings, []);
    let auth = GitHubAuth::App { id: 12345, private_key_file: "/secrets/github/key.pem".into() };
    assert_eq!(config.github.unwrap().auth, auth);
    let hosts: Vec<_> = config.registries.iter().map(|registry| registry.host.as_str()).collect();
    assert_eq!(hosts, ["ghcr.io", "registry.example.com", "localhost:5000"]);
    assert!(config.registries[2].plain_http);
    let build = config.generators["preview"].build.as_ref().unwrap();
    let keys: Vec<_> = build.images.iter().map(|image| image.key.as_str()).collect();
    assert_eq!(keys, ["digestFront", "digestBack", "digestDocs"], "the file's order");
    assert_eq!(build.images[1].candidates.len(), 2);
    assert_eq!(build.outputs[0].0, "buildSha");
}

#[test]
fn syntax_errors_stop_at_the_first() {
    assert_eq!(errors("zzz: 1\nb: [1\n"), ["c:2:4: no valid YAML: unclosed bracket '['"]);
    assert_eq!(
        errors("tokenFile: /t\ngithub:\n\tauth: x\n"),
        ["c:3:1: a tab indents this line; YAML takes spaces only"]
    );
    assert_eq!(errors("a: 1\n---\nb: 1\n"), ["c:2:1: a second document; there must be one"]);
}

#[test]
fn what_is_hardly_a_file_is_told_so() {
    assert_eq!(errors(""), ["c:1:1: the file is empty; expected a map"]);
    assert_eq!(errors("# only this\n"), ["c:1:1: the file is empty; expected a map"]);
    assert_eq!(errors("- a\n"), ["c:1:1: expected a map with the keys of the configuration, got a list"]);
    assert_eq!(
        errors("listen: 0.0.0.0:1\n"),
        [
            "c:1:1: tokenFile: missing; expected the path of a file with the accepted tokens, one a line",
            "c:1:1: generators: missing; expected a map with at least one generator",
        ]
    );
}

#[test]
fn everything_that_is_wrong_is_told_in_one_go() {
    let text = "\
listen: 4355
tokenFile: [/t]
github:
  api: http://api.github.com
  auht: { tokenFile: /g }
registries:
  host: ghcr.io
generators:
  Preview:
    hold: 7
    build:
      repository: myorg
      images:
        digestFront: ghcr.io/myorg/front:sha-{shaa}
        number: ghcr.io/myorg/front:latest
      walk: 20
      wakl: 20
      walk: 0
";
    let mut all = String::new();
    for error in errors(text) {
        writeln!(all, "{error}").unwrap();
    }
    assert_eq!(
        all,
        "\
c:1:9: listen: expected an address as `0.0.0.0:4355`, got the number 4355
c:2:12: tokenFile: expected the path of a file, got a list
c:4:3: github.auth: missing; expected a map with `app` or `tokenFile`
c:4:8: github.api: expected the URL of GitHub's API as `https://api.github.com` or `https://ghe.example.com/api/v3`: \
`http` is allowed to this machine only
c:5:3: github.auht: unknown key (did you mean `auth`?); known are api, auth, caFile, pace
c:7:3: registries: expected a list of registries, got a map
c:9:3: generators.Preview: a generator's name has lower-case letters, digits and `-` inside, at most 63
c:10:11: generators.Preview.hold: expected `forever`, `never` or a duration such as `500ms`, `15s`, `5m`, `1h` or \
`7d`, got the number 7
c:12:19: generators.Preview.build.repository: expected a repository as `owner/name`, got `myorg`
c:14:22: generators.Preview.build.images.digestFront: `ghcr.io/myorg/front:sha-{shaa}`: unknown placeholder `{shaa}` \
(did you mean `{sha}`?); known are {sha} {sha7} {sha8} {sha12} {merge_sha} {merge_sha7} {number} {branch} \
{branch:docker} {branch:gitlab} {branch:argo}
c:15:9: generators.Preview.build.images.number: no key of an answer can have this name: Argo CD fills it itself
c:17:7: generators.Preview.build.wakl: unknown key (did you mean `walk`?); known are repository, images, \
unlabelledTags, ci, walk, outputs
c:18:7: generators.Preview.build.walk: this key is already given in line 16
"
    );
}

#[test]
fn values_of_the_wrong_form_name_the_right_one() {
    let form = "a duration such as `500ms`, `15s`, `5m`, `1h` or `7d`";
    assert_eq!(error("", "answerWithin: 10\n"), format!("c:9:15: answerWithin: expected {form}, got the number 10"));
    assert_eq!(error("", "answerWithin: 26s\n"), "c:9:15: answerWithin: expected a duration from 1s to 25s, got `26s`");
    assert_eq!(error("", "drainDelay: 6m\n"), "c:9:13: drainDelay: expected a duration from 0s to 5m, got `6m`");
    assert!(Config::parse(&format!("{SMALL}drainDelay: 0s\n"), "c").is_ok());
    assert_eq!(error("", "answerWithin:\n"), format!("c:9:13: answerWithin: expected {form}, got nothing"));
    assert_eq!(error("", "listen: :4355\n"), "c:9:9: listen: expected an address as `0.0.0.0:4355`, got `:4355`");
    assert_eq!(error("", "listen: 0.0.0.0:9355\n"), "c:9:9: listen: this is the address of `ops.listen` too");
    let taken = error("", "ops: { listen: 0.0.0.0:4355 }\n");
    assert_eq!(taken, "c:9:6: ops: its `listen` is the plugin's address too, by default");
    let key = "c:9:13: generators.preview.build.walk: expected a whole number from 1 to 100, got";
    assert_eq!(in_build("walk: 101"), format!("{key} the number 101"));
    assert_eq!(in_build("walk: 1.5"), format!("{key} the number 1.5"));
    assert_eq!(in_build("walk: '5'"), format!("{key} the text `5`"));
    assert_eq!(
        in_build("unlabelledTags: trust"),
        "c:9:23: generators.preview.build.unlabelledTags: expected `refuse` or `trustHead`, got `trust`"
    );
    assert_eq!(
        in_build("ci: { require: build }"),
        "c:9:22: generators.preview.build.ci.require: expected a list of names of checks, got a text"
    );
    assert_eq!(
        in_build("ci: { ignore: [a, 5] }"),
        "c:9:25: generators.preview.build.ci.ignore[1]: expected the name of a check, got the number 5"
    );
    assert_eq!(in_generator("forks: yes"), "c:5:12: generators.preview.forks: expected `refuse` or `allow`, got `yes`");
    assert_eq!(
        in_generator("refresh: { pending: 1m, settled: 30s }"),
        "c:5:38: generators.preview.refresh.settled: `settled` (30s) must not be shorter than `pending` (1m)"
    );
    assert_eq!(
        in_generator("refresh: { pending: 6m }"),
        "c:5:14: generators.preview.refresh: `settled` (5m) must not be shorter than `pending` (6m)"
    );
    assert_eq!(
        error("myorg/myrepo\n", "https://github.com/myorg/myrepo\n"),
        "c:6:19: generators.preview.build.repository: expected a repository as `owner/name`, got \
         `https://github.com/myorg/myrepo`"
    );
}

#[test]
fn generators_and_their_parts_must_be_there() {
    let (head, _) = SMALL.split_once("  preview").unwrap();
    assert_eq!(errors(&format!("{head}  {{}}\n")), ["c:4:3: generators: expected at least one generator"]);
    assert_eq!(errors(head), ["c:3:11: generators: expected a map with at least one generator, got nothing"]);
    assert_eq!(
        errors(&format!("{head}  - preview\n")),
        ["c:4:3: generators: expected a map with at least one generator, got a list"]
    );
    assert_eq!(
        errors(&format!("{head}  preview: {{}}\n")),
        [
            "c:4:12: generators.preview.build: missing; expected a map with `repository` and `images`; or `sql`, a map with `url` and `query`; or `plugins`, a map with plugins"
        ]
    );
    assert_eq!(
        error("  preview:", "  api:"),
        "c:4:3: generators.api: no generator can have this name, which is a path of its own"
    );
    for name in ["a.b", "-a", "a-", "A", "a_b", &"a".repeat(64)] {
        assert!(error("  preview:", &format!("  {name}:")).contains("a generator's name has"), "{name}");
    }
}

#[test]
fn images_that_can_never_be_found_are_refused() {
    let key = "c:8:22: generators.preview.build.images.digestFront:";
    for (image, why) in [
        ("ghcr.io/myorg/front:sha/{sha}", "it can never be a legal tag: a tag cannot contain `/`"),
        ("ghcr.io/myorg/front:-{sha}", "it can never be a legal tag: a tag cannot start with `-`"),
        ("ghcr.io/myorg/front:{sha", "`{` without its partner in `{sha`"),
        ("ghcr.io/myorg/front:{sha}-{merge_sha}", "a tag names the commit or its test merge, not both"),
        ("ghcr.io/{sha}/front:{sha}", "before the tag there can be `{owner}` and `{repo}` only, and none in the host"),
        ("ghcr.io/myorg/front", "expected `host/name:tag-template`, got no tag template"),
        ("front:{sha}", "expected an image as `host/name`, got `front:{sha}`"),
    ] {
        let error = in_image(image);
        assert!(error == format!("{key} `{image}`: {why}") || image.starts_with("front"), "{error}");
    }
    assert_eq!(in_image("5"), format!("{key} expected an image as `host/name:tag-template`, got the number 5"));
    assert_eq!(in_image("[]"), format!("{key} expected at least one image as `host/name:tag-template`"));
    assert_eq!(
        error("        digestFront: ghcr.io/myorg/front:sha-{sha}\n", "        {}\n"),
        "c:8:9: generators.preview.build.images: expected at least one image"
    );
    assert_eq!(
        error("", "        digestBack: ghcr.io/myorg/back:{merge_sha}\n"),
        "c:8:9: generators.preview.build.images: `digestFront` and `digestBack` can never be of one commit: the tags of \
         the first name the head commit (`{sha}`), those of the second its test merge (`{merge_sha}`); use one of the \
         two for both, or a list with both"
    );
    let both = "['ghcr.io/myorg/back:{merge_sha}', 'ghcr.io/myorg/back:{sha}']";
    assert!(Config::parse(&format!("{SMALL}        digestBack: {both}\n"), "c").is_ok());
    assert!(Config::parse(&format!("{SMALL}        digestBack: ghcr.io/myorg/back:pr-{{number}}\n"), "c").is_ok());
}

#[test]
fn keys_of_the_answer_are_checked() {
    let taken = "no key of an answer can have this name: Argo CD fills it itself";
    let path = "generators.preview.build";
    for name in [
        "number",
        "title",
        "branch",
        "branch_slug",
        "target_branch",
        "target_branch_slug",
        "head_sha",
        "head_short_sha",
        "head_short_sha_7",
        "author",
        "labels",
        "generator",
        "values",
    ] {
        assert_eq!(in_build(&format!("outputs: {{ {name}: x }}")), format!("c:9:18: {path}.outputs.{name}: {taken}"));
        assert_eq!(error("digestFront", name), format!("c:8:9: {path}.images.{name}: {taken}"));
    }
    assert_eq!(
        in_build("outputs: { digestFront: x }"),
        format!("c:9:18: {path}.outputs.digestFront: an image has this key")
    );
    assert_eq!(
        in_build("outputs: { a-b: x }"),
        format!("c:9:18: {path}.outputs.a-b: a key of an answer has letters, digits and `_`, and no digit first")
    );
    assert_eq!(
        error("digestFront", "sha"),
        format!("c:8:9: {path}.images.sha: no image can have this key: `{{sha}}` is a placeholder of `outputs`")
    );
    assert_eq!(
        in_build("outputs: { a: '{digestFrnt.ref}' }"),
        format!(
            "c:9:21: {path}.outputs.a: `{{digestFrnt.ref}}`: unknown placeholder `{{digestFrnt.ref}}` (did you mean \
             `{{digestFront.ref}}`?); known are {{sha}} {{sha7}} {{branch}} {{number}} {{digestFront}} \
             {{digestFront.ref}} {{digestFront.tag}} {{digestFront.label:NAME}}"
        )
    );
    assert_eq!(
        in_build("outputs: { a: {sha} }"),
        format!("c:9:21: {path}.outputs.a: expected a text; one that starts with `{{` needs quotes, got a map")
    );
}

#[test]
fn keys_are_shown_as_they_are_but_harmless() {
    let key = "\"a\\e[2J\": 1\n";
    assert_eq!(
        errors(&format!("{SMALL}{key}{key}")),
        [
            "c:9:1: a\\u{1b}[2J: unknown key; known are listen, ops, tokenFile, answerWithin, drainDelay, inbound, ledger, github, \
             registries, kubernetes, generators",
            "c:10:1: a\\u{1b}[2J: this key is already given in line 9",
            "c:10:1: a\\u{1b}[2J: unknown key; known are listen, ops, tokenFile, answerWithin, drainDelay, inbound, ledger, github, \
             registries, kubernetes, generators",
        ]
    );
}

#[test]
fn who_may_see_explanations_is_a_word() {
    let explain = |text: &str| Config::parse(&format!("{SMALL}ops: {text}\n"), "c").unwrap().0.ops.explain;
    assert_eq!(explain("{ tokenFile: /o }"), Explain::Token);
    assert_eq!(explain("{ explain: open }"), Explain::Open);
    assert_eq!(explain("{ explain: off }"), Explain::Off);
    let expected = "ops.explain: expected `token` or `open` or `off`, got";
    assert_eq!(error("", "ops: { explain: on }"), format!("c:9:17: {expected} `on`"));
    assert_eq!(error("", "ops: { explain: false }"), format!("c:9:17: {expected} `false`"));
}

#[test]
fn a_pattern_stands_in_the_name_and_images_are_named_by_it() {
    let read = |repository: &str, image: &str| {
        let text = SMALL.replace("myorg/myrepo", repository).replace("ghcr.io/myorg/front:sha-{sha}", image);
        let (config, warnings) = Config::parse(&text, "c").unwrap();
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        (config.generators["preview"].build.clone().unwrap(), warnings)
    };
    let (build, warnings) = read("myorg/app-*", "ghcr.io/{owner}/{repo}-front:sha-{sha}");
    let Repositories::Fitting(pattern) = &build.repository else { panic!("{build:?}") };
    let repo = "MyOrg/App-Shop".parse().unwrap();
    assert!(pattern.fits(&repo));
    assert_eq!(build.images[0].of(&repo).unwrap().candidates[0].0.to_string(), "ghcr.io/myorg/app-shop-front");
    assert_eq!(warnings, [""; 0]);
    // One repository may be written so, too.
    let (build, warnings) = read("MyOrg/myrepo", "ghcr.io/{owner}/{repo}:sha-{sha}");
    let image = build.images[0].of(build.repository.example()).unwrap();
    assert_eq!(image.candidates[0].0.to_string(), "ghcr.io/myorg/myrepo");
    assert_eq!(warnings, [""; 0]);
    let (_, warnings) = read("myorg/*", "ghcr.io/{owner}/front:sha-{sha}");
    let shared = "c:8:9: generators.preview.build.images: no image has `{repo}` in its name: all repositories of the \
                  pattern share these";
    assert_eq!(warnings, [shared]);

    for bad in ["\"*/*\"", "\"*/app\"", "my*/app", "myorg/*/x", "\"*\"", "myorg/a?*"] {
        let text = bad.trim_matches('"');
        assert_eq!(
            error("myorg/myrepo", bad),
            format!(
                "c:6:19: generators.preview.build.repository: expected a pattern as `owner/*` or `owner/prefix-*`, with \
                 `*` in the name only, got `{text}`"
            )
        );
    }
    // An owner whose name no image can have.
    let text = SMALL.replace("myorg/myrepo", "my_/*").replace("ghcr.io/myorg/", "ghcr.io/{owner}/");
    assert_eq!(
        errors(&text),
        [
            "c:8:22: generators.preview.build.images.digestFront: `ghcr.io/{owner}/front:sha-{sha}`: expected an image as \
          `host/name`, got `ghcr.io/my_/front`"
        ]
    );
}

#[test]
fn a_ledger_has_one_place_and_no_password_in_the_open() {
    let place = |text: &str| Config::parse(&format!("{SMALL}{text}"), "c").unwrap().0.ledger.place;
    assert_eq!(place(""), LedgerPlace::Sqlite("/var/lib/lastgreen/ledger.db".into()));
    assert_eq!(place("ledger: { url: 'memory:' }\n"), LedgerPlace::Memory);
    assert_eq!(place("ledger: { url: sqlite:///data/l.db }\n"), LedgerPlace::Sqlite("/data/l.db".into()));
    let postgres = "postgresql://lastgreen@db:5432/lastgreen?sslmode=verify-full";
    assert_eq!(place(&format!("ledger: {{ url: '{postgres}' }}\n")), LedgerPlace::Postgres(postgres.to_owned()));
    assert_eq!(place("ledger: { urlFile: /l }\n"), LedgerPlace::UrlFile("/l".into()));
    let holds = "it holds a password: write the whole URL into a file and name that by `urlFile`";
    for url in ["postgres://user:hunter2@db/x", "postgres://db/x?user=u&password=hunter2"] {
        assert_eq!(error("", &format!("ledger: {{ url: '{url}' }}")), format!("c:9:16: ledger.url: {holds}"));
    }
    for url in ["sqlite:ledger.db", "sqlite://ledger.db", "sqlite:///l.db?mode=ro", "mysql://u:hunter2@db/x", "/l.db"] {
        let error = error("", &format!("ledger: {{ url: '{url}' }}"));
        assert!(error.starts_with("c:9:16: ledger.url: expected `sqlite:///absolute/path/ledger.db`"), "{error}");
        assert!(error.ends_with("got something else") && !error.contains("hunter2"), "{error}");
    }
    assert_eq!(
        error("", "ledger: { url: 'memory:', urlFile: /l }"),
        "c:9:16: ledger.url: `url` and `urlFile` exclude each other"
    );
    assert!(error("", "ledger: { forgetAfter: 1h }").starts_with("c:9:24: ledger.forgetAfter: expected"));
}

proptest! {
    #[test]
    fn no_file_is_too_odd(
        (from, length) in (0..EXAMPLE.len(), 0_usize..40),
        instead in "([a-z{}:,&* \"'\\[\\]\n\t-]|\\PC){0,6}",
    ) {
        let mut text = EXAMPLE.to_owned();
        text.replace_range(from..EXAMPLE.len().min(from + length), &instead);
        if let Err(errors) = Config::parse(&text, "c") {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.0.iter().all(|error| error.line > 0 && error.column > 0));
        }
    }
}
