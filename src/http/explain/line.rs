//! The page of one line: what is served, and how it came to this.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{
    LOOK, PATH, Visitor,
    page::{Refresh, budgets, count, frame},
    parts,
    query::Query,
    text::{coded, effect, name, sentence, sentence_of_list, span, standing, time, verdict},
};
use crate::explain::{
    CheckView, CommitView, Effect, ImageView, LineStory, Number, Policy, Served, Source, State, Story, Unexplained,
    Verdict, Which,
};

/// How many characters of a commit are shown.
const SHORT: usize = 12;

/// The page.
pub(super) fn page(story: &LineStory, query: &Query, visitor: &Visitor) -> Markup {
    let still = Query { still: true, ..query.clone() }.address();
    let refresh = if query.still { Refresh::No } else { Refresh::Yes { still: &still } };
    let title = match (&story.branch, story.number) {
        (Some(branch), Some(number)) => format!("#{number} {}", super::text::visible(branch)),
        (Some(branch), None) => super::text::visible(branch),
        (None, number) => format!("#{}", number.unwrap_or_default()),
    };
    let main = html! {
        nav.crumbs aria-label="You are here" {
            a href=(PATH) { "Previews" } span aria-hidden="true" { "/" } (name(&story.generator))
        }
        header.title {
            h1 {
                @if let Some(branch) = &story.branch { (name(branch)) }
                @if let Some(number) = story.number { " " span.quiet { "#" (number) } }
            }
            p.quiet {
                "Generator " (name(&story.generator)) ", repository " (name(&story.repository)) "."
                @if let Some(url) = &story.url { " " a href=(url) rel="noopener noreferrer" { "The pull request on GitHub" } "." }
            }
        }
        div #problem data-live { @if let Some(problem) = &story.problem { p.alert role="alert" { (problem) } } }
        (answer(story))
        (ask_anew(story, query, visitor))
        div #story data-live { (told(story)) }
        div #parts data-live { (parts::parts(&story.parts, "Beside the build", story.now)) }
        div #guard data-live { (parts::guard(story.guard.as_ref(), story.now)) }
        (policy(&story.policy))
        (budgets(&story.budgets, &story.services, story.now))
    };
    frame(&title, Some(visitor), &refresh, &main)
}

/// A page for what cannot be told; whoever is signed in may have it looked at.
pub(super) fn unexplained(why: &Unexplained, query: &Query, visitor: &Visitor) -> Markup {
    let title = match why {
        Unexplained::NeverSeen => "Not known",
        Unexplained::NoSuchGenerator { .. } => "No such generator",
        Unexplained::Unnamed(_) => "Which generator?",
        Unexplained::NoLines(_) => "No branches here",
        Unexplained::NoRepository(_) => "Which repository?",
        Unexplained::Bad(_) | Unexplained::Refused(_) => "This address is wrong",
        Unexplained::Busy | Unexplained::Late => "Not now",
    };
    let which = &query.which;
    let main = html! {
        section.card.narrow {
            h1 { (title) }
            @if let Some(branch) = &which.branch { p { strong { (name(branch)) } } }
            p { (coded(&sentence_of(why))) }
            @if let (Some(form), Unexplained::NeverSeen | Unexplained::Busy | Unexplained::Late) = (&visitor.form, why) {
                (look_form(which, form))
            }
            p { a href=(PATH) { "All previews" } }
        }
    };
    frame(title, Some(visitor), &Refresh::No, &main)
}

fn sentence_of(why: &Unexplained) -> String {
    let text = why.to_string();
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// What is answered now.
fn answer(story: &LineStory) -> Markup {
    let now = story.now;
    let state = story.answer.as_ref().map_or(State::NotAsked, |row| row.standing);
    let sentence = match state {
        // It may be another part that cannot say, or the guard.
        State::Held | State::Unknown if !story.parts.is_empty() => sentence_of_list(state),
        state => sentence(state),
    };
    let next = |at: DateTime<Utc>| {
        if at <= now {
            html! { "due now" }
        } else {
            time(at, now)
        }
    };
    html! {
        section #answer.card data-live aria-labelledby="answer-title" {
            h2.unseen #answer-title { "What is answered" }
            p.headline { (standing(state)) span { (sentence) } }
            @if let Some(reason) = story.answer.as_ref().map(|row| &row.reason).filter(|reason| !reason.is_empty()) {
                p.reason { (name(reason)) }
            }
            dl.facts {
                @if let Some(served) = &story.served {
                    div { dt { "Served" } dd { (commit(&served.commit, served.url.as_deref())) } }
                    div { dt { "Since" } dd { (time(served.since, now)) } }
                    @if let Some(merge) = &served.test_merge {
                        div { dt { "Test merge" } dd { code { (short(merge)) } } }
                    }
                } @else {
                    div { dt { "Served" } dd.quiet { "nothing" } }
                }
                @if let Some(row) = &story.answer {
                    @if let Some(since) = row.standing_since { div { dt { "Answered so since" } dd { (time(since, now)) } } }
                    @if let Some(at) = row.answered_at { div { dt { "Looked at" } dd { (time(at, now)) } } }
                }
                div { dt { "Next look" } dd {
                    @match &story.next_look { Some(next_look) => (next(next_look.at)), None => "when it is asked for" }
                } }
                div { dt { "Ledger" } dd { (ledger(story)) } }
            }
            @if let Some(served) = &story.served { (images_served(served)) }
        }
    }
}

fn ledger(story: &LineStory) -> &'static str {
    match story.ledger {
        "item" => "has it recorded",
        "nothing" => "knows that there was nothing",
        "never" => "has never seen it",
        _ => "cannot be read",
    }
}

fn images_served(served: &Served) -> Markup {
    html! {
        h3 { "Images served" }
        ul.images {
            @for image in &served.images {
                li {
                    strong { (name(&image.key)) }
                    span.mono { (name(&image.reference)) }
                    span.mono.quiet { (name(&image.digest)) }
                }
            }
        }
    }
}

/// A form that has the upstreams asked anew.
fn ask_anew(story: &LineStory, query: &Query, visitor: &Visitor) -> Markup {
    let repository = query.which.repository.clone();
    let which = Which {
        generator: Some(story.generator.clone()),
        branch: story.branch.clone(),
        number: story.number.map_or(Number::Any, Number::Is),
        repository_id: story.repository_id.filter(|_| repository.is_none()),
        repository,
        about: None,
    };
    html! {
        @if let (Some(form), Some(_)) = (&visitor.form, &story.branch) {
            div.ask {
                (look_form(&which, form))
                p.quiet { "Asks GitHub and the registries now, and tells below what they say. It changes no answer." }
            }
        }
    }
}

fn look_form(which: &Which, form: &str) -> Markup {
    html! {
        form method="post" action=(format!("{LOOK}?form={form}")) {
            @if let Some(generator) = &which.generator { input type="hidden" name="generator" value=(generator); }
            @if let Some(branch) = &which.branch { input type="hidden" name="branch" value=(branch); }
            @if let Number::Is(number) = which.number { input type="hidden" name="number" value=(number); }
            @if let Some(repository) = &which.repository { input type="hidden" name="repository" value=(repository); }
            @if let Some(id) = which.repository_id { input type="hidden" name="repositoryId" value=(id); }
            button.secondary { "Look anew" }
        }
    }
}

/// How it came to this.
fn told(line: &LineStory) -> Markup {
    let now = line.now;
    html! {
        section aria-labelledby="story-title" {
            h2 #story-title { "How it came to this" }
            @match &line.story {
                None => p.quiet { (no_story(line)) },
                Some(story) => {
                    p.quiet {
                        @match story.source {
                            Source::Answer => "What the latest answer was made of",
                            Source::Look => "What a new look showed; no answer was made of it yet",
                        }
                        @if let Some(at) = story.at { ", " (time(at, now)) }
                        @if let Some(at) = story.read_at { "; GitHub was read " (time(at, now)) }
                        "."
                        @if let Some(at) = story.again_at.filter(|at| *at > now) {
                            " It is worth asking again " (time(at, now)) "."
                        }
                    }
                    @if story.source == Source::Look { p.reason { (outcome(story)) } }
                    @if story.commits.is_empty() { p.quiet { "No commit was considered." } }
                    @else { ol.timeline { @for commit in &story.commits { (considered(commit, now)) } (older(line, story)) } }
                }
            }
        }
    }
}

fn no_story(line: &LineStory) -> &'static str {
    match line.answer.as_ref().map(|row| row.standing) {
        None | Some(State::NotAsked) => {
            "Nobody has asked since this lastgreen began. What is recorded above was answered before."
        }
        Some(_) => "It is not kept for so many lines. Have it looked at anew to see it.",
    }
}

fn outcome(story: &Story) -> Markup {
    let word = match story.outcome {
        Some("ready") => "It found the last green build",
        Some("not-yet") => "There is none yet",
        Some("fork-refused") => "Forks are refused",
        _ => "Nobody could say",
    };
    html! { (word) @if story.reason.is_empty() { "." } @else { ": " (name(&story.reason)) } }
}

/// One commit.
fn considered(view: &CommitView, now: DateTime<Utc>) -> Markup {
    let class = match view.verdict {
        Verdict::Green if view.images.iter().any(|image| image.state != "found") => "held",
        Verdict::Green => "fresh",
        Verdict::Pending => "not-yet",
        Verdict::Red => "refused",
        Verdict::NoChecks => "not-asked",
        Verdict::Unreadable => "unknown",
    };
    let open = view.is_head || view.is_found || view.checks.iter().any(|check| check.effect == Effect::Fails);
    html! {
        li class=(class) {
            div.commit {
                (commit(&view.sha, view.url.as_deref()))
                (verdict(view.verdict))
                @if view.is_head { span.tag { "head" } }
                @if view.is_found { span.tag.found { "last green build" } }
                @if view.is_served { span.tag.served { "served" } }
                @if let Some(at) = view.changed_at { span.quiet.small { "CI spoke " (time(at, now)) } }
            }
            p.verdict { (name(&view.verdict_text)) @if let Some(rule) = &view.rule { span.quiet { " — " (coded(rule)) } } }
            @if !view.images.is_empty() { ul.looks { @for image in &view.images { (look(image)) } } }
            @if !view.checks.is_empty() {
                details id=(format!("checks-{}", view.sha)) open[open] {
                    summary { (count(view.checks.len(), "check")) }
                    ul.checks { @for check in &view.checks { (check_line(check, now)) } }
                }
            }
        }
    }
}

fn check_line(check: &CheckView, now: DateTime<Utc>) -> Markup {
    html! {
        li {
            (effect(check.effect))
            div {
                strong {
                    @if let Some(workflow) = &check.workflow { span.quiet { (name(workflow)) " / " } }
                    (name(&check.name))
                }
                span.said {
                    (name(&check.said))
                    @if let Some(event) = &check.event { " · on " (name(event)) }
                    @if let Some(at) = check.changed_at { " · " (time(at, now)) }
                }
                span.rule { (coded(&check.rule)) }
            }
        }
    }
}

fn look(image: &ImageView) -> Markup {
    let shown = match image.state {
        "found" => Effect::Passes,
        "unknown" | "no-repository" => Effect::Fails,
        _ => Effect::Waits,
    };
    let word = match image.state {
        "found" => "is there",
        "absent" => "is absent",
        "no-repository" => "no repository",
        "other" => "is another's",
        "unlabelled" => "proves nothing",
        "unrenderable" => "cannot be named",
        "only-test-merge" => "only the test merge",
        _ => "cannot be read",
    };
    html! {
        li {
            (super::text::as_effect(shown, word))
            div {
                strong { (name(&image.key)) }
                span.mono { (name(&image.reference)) }
                @match &image.digest {
                    Some(digest) => span.mono.quiet { (name(digest)) },
                    None => span.said { (name(&image.text)) },
                }
            }
        }
    }
}

/// What is served where that is older than all that was considered.
fn older(line: &LineStory, story: &Story) -> Markup {
    let Some(served) = &line.served else { return html! {} };
    if story.commits.iter().any(|commit| commit.is_served) {
        return html! {};
    }
    html! {
        li.held {
            div.commit {
                (commit(&served.commit, served.url.as_deref()))
                span.tag.served { "served" }
                span.quiet.small { "for " (span(served.age_seconds)) }
            }
            p.verdict { "Answered before, and kept: it was green, and complete." }
        }
    }
}

fn commit(sha: &str, url: Option<&str>) -> Markup {
    html! {
        @match url {
            Some(url) => a.sha href=(url) rel="noopener noreferrer" title=(sha) { code { (short(sha)) } },
            None => code.sha title=(sha) { (short(sha)) },
        }
    }
}

fn short(sha: &str) -> &str {
    sha.get(..SHORT).unwrap_or(sha)
}

/// What the generator is told.
fn policy(policy: &Policy) -> Markup {
    let list = |patterns: &[String]| {
        html! {
            @if patterns.is_empty() { span.quiet { "none" } }
            @for (index, pattern) in patterns.iter().enumerate() { @if index > 0 { ", " } code { (name(pattern)) } }
        }
    };
    let hold = policy.hold.parse().map_or_else(|_| policy.hold.clone(), span);
    let plain = [
        ("ci.skipped", policy.skipped.to_owned()),
        ("ci.noChecks", policy.no_checks.to_owned()),
        ("ci.settle", span(seconds(policy.settle_seconds))),
        ("walk", count(usize::try_from(policy.walk).unwrap_or_default(), "commit")),
        ("hold", hold),
        ("forks", policy.forks.to_owned()),
        ("refresh.pending", span(seconds(policy.pending_seconds))),
        ("refresh.settled", span(seconds(policy.settled_seconds))),
    ];
    html! {
        section.card aria-labelledby="rules-title" {
            h2 #rules-title { "The generator's rules" }
            dl.facts {
                div { dt { "ci.require" } dd { (list(&policy.require)) } }
                div { dt { "ci.ignore" } dd { (list(&policy.ignore)) } }
                @for (key, value) in plain { div { dt { (key) } dd { (value) } } }
            }
        }
    }
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
