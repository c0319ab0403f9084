//! That nothing which strangers chose becomes a part of a page: whatever the texts are, the elements and their
//! attributes are the same.

use std::collections::BTreeMap;

use chrono::DateTime;
use maud::Markup;
use proptest::prelude::*;

use super::*;
use crate::explain::{
    Budget, CheckView, CommitView, Effect, GeneratorView, GuardView, HeldBackView, Image, ImageView, LineStory,
    ListStory, NextLook, Overview, PER_PAGE, PartView, Policy, QuotaView, Row, Served, ServiceView, Source, State,
    Story, TroubleView, Verdict,
};

fn row(text: &str) -> Row {
    Row {
        generator: text.to_owned(),
        repository: Some(text.to_owned()),
        repository_id: Some(1),
        number: Some(1),
        branch: Some(text.to_owned()),
        about: None,
        items: None,
        held_back: None,
        standing: State::Held,
        standing_since: Some(DateTime::UNIX_EPOCH),
        reason: text.to_owned(),
        commit: Some(text.to_owned()),
        served_since: Some(DateTime::UNIX_EPOCH),
        age_seconds: Some(3),
        answered_at: Some(DateTime::UNIX_EPOCH),
        asked_at: None,
    }
}

fn budget(text: &str) -> Budget {
    Budget { name: text.to_owned(), limit: 5000, remaining: 20, reset_at: DateTime::UNIX_EPOCH }
}

/// A list that stands beside no build.
fn list(text: &str) -> Row {
    let held_back = Some(HeldBackView { vanish: 3, of: 10 });
    let (branch, commit, reason) = (None, None, String::new());
    Row { about: Some(text.to_owned()), items: Some(10), held_back, branch, commit, reason, ..row(text) }
}

fn service(text: &str) -> ServiceView {
    let at = Some(DateTime::UNIX_EPOCH);
    let trouble = || Some(TroubleView { why: text.to_owned(), until: at });
    ServiceView {
        host: text.to_owned(),
        account: Some(text.to_owned()),
        per_second: 10,
        concurrent: 8,
        under_way: 1,
        last_minute: 700,
        paused_until: at,
        quota: Some(QuotaView { limit: Some(100), remaining: 97, window_seconds: Some(21_600), seen_at: at }),
        rests: trouble(),
        open: trouble(),
    }
}

fn parts(text: &str) -> (Vec<PartView>, Option<GuardView>) {
    let part = |cannot_say: Option<&str>| PartView {
        name: text.to_owned(),
        kind: "sql",
        only_if: Some(text.to_owned()),
        asked_at: Some(DateTime::UNIX_EPOCH),
        items: Some(3),
        cannot_say: cannot_say.map(str::to_owned),
        recorded_items: Some(4),
    };
    let guard = GuardView {
        max_drop: 20,
        min_items: 5,
        window_seconds: 600,
        since: Some(DateTime::UNIX_EPOCH),
        held_back: Some(HeldBackView { vanish: 3, of: 10 }),
        released: None,
        release: Some(format!("lastgreen guard release {text}")),
    };
    (vec![part(None), part(Some(text))], Some(guard))
}

fn list_story(text: &str) -> ListStory {
    let (parts, guard) = parts(text);
    ListStory {
        now: DateTime::UNIX_EPOCH,
        generator: text.to_owned(),
        repository: Some(text.to_owned()),
        about: text.to_owned(),
        inputs: Some(text.to_owned()),
        answer: list(text),
        ledger: "item",
        parts,
        guard,
        budgets: vec![budget(text)],
        services: vec![service(text)],
        problem: Some(text.to_owned()),
    }
}

fn overview(text: &str) -> Overview {
    let generator = || GeneratorView { name: text.to_owned(), repository: Some(text.to_owned()) };
    Overview {
        now: DateTime::UNIX_EPOCH,
        generators: vec![generator(), generator()],
        counts: BTreeMap::from([("held", 1)]),
        total: 1,
        matching: 1,
        page: 1,
        pages: 1,
        per_page: PER_PAGE,
        lines: vec![row(text), list(text)],
        budgets: vec![budget(text)],
        services: vec![service(text)],
        problem: Some(text.to_owned()),
    }
}

fn line_story(text: &str) -> LineStory {
    let owned = || text.to_owned();
    let at = Some(DateTime::UNIX_EPOCH);
    let check = CheckView {
        name: owned(),
        workflow: Some(owned()),
        event: Some(owned()),
        said: owned(),
        effect: Effect::Fails,
        // A rule quotes a pattern of the configuration.
        rule: format!("required by `ci.require: {}`", text.replace('`', "")),
        changed_at: at,
    };
    let looked = |state, digest| ImageView { key: owned(), reference: owned(), state, digest, text: owned() };
    let commit = CommitView {
        sha: owned(),
        url: Some("https://github.com/o/r/commit/1".to_owned()),
        is_head: true,
        is_found: true,
        is_served: true,
        verdict: Verdict::Red,
        verdict_text: owned(),
        rule: Some("a rule".to_owned()),
        changed_at: at,
        checks: vec![check],
        images: vec![looked("found", Some(owned())), looked("other", None)],
    };
    let image = Image { key: owned(), reference: owned(), digest: owned() };
    LineStory {
        now: DateTime::UNIX_EPOCH,
        generator: owned(),
        repository: owned(),
        repository_id: Some(1),
        number: Some(1),
        branch: Some(owned()),
        url: Some("https://github.com/o/r/pull/1".to_owned()),
        answer: Some(row(text)),
        ledger: "item",
        served: Some(Served {
            commit: owned(),
            url: None,
            test_merge: Some(owned()),
            since: DateTime::UNIX_EPOCH,
            age_seconds: 1,
            images: vec![image],
        }),
        next_look: Some(NextLook { at: DateTime::UNIX_EPOCH }),
        story: Some(Story {
            source: Source::Look,
            at,
            read_at: at,
            outcome: Some("unknown"),
            reason: owned(),
            is_final: false,
            again_at: at,
            commits: vec![commit],
        }),
        policy: Policy {
            require: vec![owned()],
            ignore: vec![owned()],
            skipped: "pass",
            no_checks: "wait",
            settle_seconds: 15,
            walk: 20,
            forks: "refuse",
            hold: "forever".to_owned(),
            pending_seconds: 15,
            settled_seconds: 300,
            ahead: true,
        },
        parts: parts(text).0,
        guard: parts(text).1,
        budgets: vec![budget(text)],
        services: vec![service(text)],
        problem: Some(owned()),
    }
}

fn pages(text: &str) -> Vec<Markup> {
    let visitor = Visitor { form: Some("f".to_owned()), may_sign_in: true };
    let mut query = Query::default();
    query.filter.text = text.to_owned();
    query.filter.generator = Some(text.to_owned());
    let mut which = query.clone();
    which.which.branch = Some(text.to_owned());
    vec![
        list::page(&overview(text), &query, &visitor, None),
        line::page(&line_story(text), &which, &visitor),
        super::parts::page(&list_story(text), &which, &visitor),
        line::unexplained(&Unexplained::NeverSeen, &which, &visitor),
        line::unexplained(
            &Unexplained::NoSuchGenerator { name: text.replace('`', ""), known: "a".to_owned() },
            &which,
            &visitor,
        ),
        page::sign_in(text, Some("Wrong."), Some(&query::again(text))),
        page::message("Title", &text.replace('`', ""), Some(&visitor)),
    ]
}

/// The tags of a page in order, each with the names of its attributes and the values of those that act.
fn structure(page: &Markup) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), page.0.as_str());
    while let Some(at) = rest.find('<') {
        let (mut tag, mut quoted) = (String::new(), None::<String>);
        let mut end = rest.len();
        for (offset, c) in rest[at..].char_indices() {
            match (&mut quoted, c) {
                (None, '>') => {
                    end = at + offset + 1;
                    break;
                }
                (None, '"') => quoted = Some(String::new()),
                (None, c) => tag.push(c),
                (Some(value), '"') => {
                    if tag.ends_with("type=")
                        || tag.ends_with("src=")
                        || tag.ends_with("class=")
                        || tag.ends_with("role=")
                    {
                        tag.push_str(value);
                    }
                    quoted = None;
                }
                (Some(value), c) => value.push(c),
            }
        }
        found.push(tag);
        rest = &rest[end..];
    }
    found
}

#[test]
fn pages_have_nothing_inline_and_nothing_from_elsewhere() {
    for page in pages("x") {
        let structure = structure(&page);
        assert!(structure.len() > 10, "{structure:?}");
        for tag in &structure {
            let is_inline = tag.contains(" style=") || tag.contains(" on") || *tag == "style" || *tag == "script";
            assert!(!is_inline, "{tag}");
        }
        let text = page.into_string();
        for attribute in ["src=\"", "action=\""] {
            let values = text.split(attribute).skip(1);
            assert!(values.clone().all(|value| value.starts_with("/explain")), "{text}");
        }
        let links = text.split("href=\"").skip(1);
        for link in links {
            let is_ours = link.starts_with("/explain") || link.starts_with('#');
            assert!(is_ours || link.starts_with("https://github.com/"), "{link}");
        }
        // A heading that names the page, and something to skip to.
        assert!(text.matches("<h1>").count() == 1 && text.contains("id=\"main\""), "{text}");
        let mut ids: Vec<_> = text.split(" id=\"").skip(1).map(|id| id.split('"').next().unwrap()).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_of_a_stranger_becomes_a_part_of_a_page(
        text in prop_oneof![
            "[<>\"'&/= a-z\u{202e}\u{0}\n]{1,40}",
            "\\PC{1,40}",
            Just("\"><script>alert(1)</script>".to_owned()),
            Just("' onmouseover=alert(1) x='".to_owned()),
            Just("</title><img src=x onerror=alert(1)>".to_owned()),
            Just("javascript:alert(1)".to_owned()),
        ],
    ) {
        for (page, plain) in pages(&text).iter().zip(pages("x")) {
            prop_assert_eq!(structure(page), structure(&plain));
        }
    }
}
