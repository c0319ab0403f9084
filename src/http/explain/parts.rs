//! The parts beside a build, on its line's page; and the page of a list that stands beside none.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{
    PATH, Visitor,
    page::{Refresh, budgets, count, frame},
    query::Query,
    text::{as_effect, name, of_list, sentence_of_list, span, standing, time},
};
use crate::explain::{Effect, GuardView, ListStory, PartView};

/// The page of a list.
pub(super) fn page(story: &ListStory, query: &Query, visitor: &Visitor) -> Markup {
    let still = Query { still: true, ..query.clone() }.address();
    let refresh = if query.still { Refresh::No } else { Refresh::Yes { still: &still } };
    let label = of_list(&story.about);
    let main = html! {
        nav.crumbs aria-label="You are here" {
            a href=(PATH) { "Previews" } span aria-hidden="true" { "/" } (name(&story.generator))
        }
        header.title {
            h1 { (name(&label)) }
            p.quiet {
                "Generator " (name(&story.generator))
                @if let Some(repository) = &story.repository { ", repository " (name(repository)) }
                "."
            }
        }
        div #problem data-live { @if let Some(problem) = &story.problem { p.alert role="alert" { (name(problem)) } } }
        (answer(story))
        div #parts data-live { (parts(&story.parts, "Its parts", story.now)) }
        div #guard data-live { (guard(story.guard.as_ref(), story.now)) }
        (budgets(&story.budgets, &story.services, story.now))
    };
    frame(&super::text::visible(&label), Some(visitor), &refresh, &main)
}

fn answer(story: &ListStory) -> Markup {
    let (now, row) = (story.now, &story.answer);
    html! {
        section #answer.card data-live aria-labelledby="answer-title" {
            h2.unseen #answer-title { "What is answered" }
            p.headline { (standing(row.standing)) span { (sentence_of_list(row.standing)) } }
            @if !row.reason.is_empty() { p.reason { (name(&row.reason)) } }
            dl.facts {
                div { dt { "Items" } dd { @match row.items { Some(items) => (items), None => span.quiet { "not known" } } } }
                @if let Some(since) = row.served_since { div { dt { "Recorded" } dd { (time(since, now)) } } }
                @if let Some(since) = row.standing_since { div { dt { "Answered so since" } dd { (time(since, now)) } } }
                @if let Some(at) = row.answered_at { div { dt { "Answered" } dd { (time(at, now)) } } }
                div { dt { "Next look" } dd { "when it is asked for" } }
                div { dt { "Ledger" } dd { (match story.ledger {
                    "item" => "has it recorded",
                    "never" => "has never seen it",
                    _ => "cannot be read",
                }) } }
            }
            @if let Some(inputs) = &story.inputs {
                h3 { "Asked with" }
                p.mono { (name(inputs)) }
            }
        }
    }
}

/// What each part said.
pub(super) fn parts(parts: &[PartView], title: &str, now: DateTime<Utc>) -> Markup {
    html! {
        @if !parts.is_empty() {
            section.card aria-labelledby="parts-title" {
                h2 #parts-title { (title) }
                ul.checks { @for part in parts { (told(part, now)) } }
            }
        }
    }
}

fn told(part: &PartView, now: DateTime<Utc>) -> Markup {
    let (effect, word) = match (&part.cannot_say, part.items) {
        (Some(_), _) => (Effect::Fails, "cannot say".to_owned()),
        (None, Some(items)) => (Effect::Passes, count(items, "item")),
        (None, None) => (Effect::None, "not asked yet".to_owned()),
    };
    let kind = match part.kind {
        "sql" => "rows of a query",
        "plugin" => "another plugin",
        _ => "GitHub's open pull requests",
    };
    html! {
        li {
            (as_effect(effect, &word))
            div {
                strong { (name(&part.name)) }
                span.said {
                    (kind)
                    @if let Some(at) = part.asked_at { ", asked " (time(at, now)) }
                    @if let Some(recorded) = part.recorded_items { "; " (count(recorded, "item")) " recorded" }
                }
                @if let Some(why) = &part.cannot_say {
                    span { (name(why)) }
                    span.rule {
                        @if part.recorded_items.is_some() { "What is recorded of it stands in for it." }
                        @else { "Nothing is recorded of it that could stand in for it." }
                    }
                }
                @if let Some(only_if) = &part.only_if { span.rule { "onlyIf: " code { (name(only_if)) } } }
            }
        }
    }
}

/// What the guard makes of it.
pub(super) fn guard(guard: Option<&GuardView>, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(guard) = guard {
            section.card aria-labelledby="guard-title" {
                h2 #guard-title { "The guard" }
                @if let (Some(held), Some(release)) = (guard.held_back, &guard.release) {
                    p.alert {
                        "It holds back that " (held.vanish) " of " (count(held.of, "item")) " vanish; what was answered before is kept. "
                        @if guard.released.is_some_and(|released| released >= held.vanish) {
                            "An operator has let them go: the next answer is without them."
                        } @else {
                            "If that is meant, let them go: " code { (name(release)) }
                        }
                    }
                } @else { p { "It holds nothing back." } }
                dl.facts {
                    div { dt { "guard.maxDrop" } dd { (guard.max_drop) " %" } }
                    div { dt { "guard.minItems" } dd { (guard.min_items) } }
                    div { dt { "guard.window" } dd { (span(i64::try_from(guard.window_seconds).unwrap_or(i64::MAX))) } }
                    @if let Some(since) = guard.since { div { dt { "Adds up since" } dd { (time(since, now)) } } }
                }
            }
        }
    }
}
