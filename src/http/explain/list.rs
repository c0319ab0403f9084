//! The page of all lines.

use maud::{Markup, html};

use super::{
    PATH, Visitor,
    page::{Refresh, budgets, count, frame, thousands},
    query::{Query, of_line},
    text::{Shape, clock, name, of_list, span, standing, time, word},
};
use crate::explain::{Filter, Order, Overview, Row, Sort, State};

/// The columns: by what they are sorted, and their heads.
const COLUMNS: [(Sort, &str, &str); 5] = [
    (Sort::Number, "number", "Pull request"),
    (Sort::Branch, "branch", "Branch"),
    (Sort::Standing, "standing", "Standing"),
    (Sort::Age, "age", "Served"),
    (Sort::Answered, "answered", "Looked at"),
];

/// The page; `note` says why it is not the one that was asked for.
pub(super) fn page(overview: &Overview, query: &Query, visitor: &Visitor, note: Option<&str>) -> Markup {
    let several = overview.generators.len() > 1;
    let still = Query { still: true, ..query.clone() }.address();
    let refresh = if query.still { Refresh::No } else { Refresh::Yes { still: &still } };
    let main = html! {
        header.title {
            h1 { "Previews" }
            p.quiet #summary data-live {
                (thousands(overview.total as u64)) " " (what(overview)) " of "
                @if let [sole] = &*overview.generators {
                    "generator " (name(&sole.name))
                    @if let Some(repository) = &sole.repository { ", " (name(repository)) }
                }
                @else { (overview.generators.len()) " generators" }
                ", as of " (clock(overview.now)) "."
            }
        }
        @if let Some(note) = note { p.notice role="status" { (note) } }
        div #problem data-live {
            @if let Some(problem) = &overview.problem { p.alert role="alert" { (problem) ". What this process has answered itself is shown." } }
        }
        @if note.is_none() { (controls(overview, query, several)) }
        div #rows data-live { (rows(overview, query, several)) }
        (budgets(&overview.budgets, &overview.services, overview.now))
    };
    frame("Previews", Some(visitor), &refresh, &main)
}

/// What there is.
fn what(overview: &Overview) -> &'static str {
    let has = |lines: bool| overview.generators.iter().any(|generator| generator.repository.is_some() == lines);
    match (has(true), has(false)) {
        (true, true) => "pull requests, branches and lists",
        (false, true) => "lists",
        _ => "pull requests and branches",
    }
}

/// What narrows the list down.
fn controls(overview: &Overview, query: &Query, several: bool) -> Markup {
    let all: usize = overview.counts.values().sum();
    let chip = |state: Option<State>, count: usize, label: &str| {
        let here = query.filter.state == state;
        html! {
            a.chip .current[here] href=(query.with(|filter| filter.state = state)) aria-current=[here.then_some("true")]
                id=(format!("chip-{}", state.map_or("all", State::as_str))) {
                @if let Some(state) = state { span class=(state.as_str()) { (Shape::of(state).drawn()) } }
                (label) " " span.count { (thousands(count as u64)) }
            }
        }
    };
    html! {
        @if let Some(repository) = &query.filter.repository {
            p.notice { "Only " (name(&repository.to_string())) ". "
                a href=(query.with(|filter| filter.repository = None)) { "Show all repositories" } }
        }
        nav #chips.chips data-live aria-label="By standing" {
            (chip(None, all, "all"))
            @for state in State::ALL {
                @let count = overview.counts.get(state.as_str()).copied().unwrap_or_default();
                @if count > 0 || query.filter.state == Some(state) { (chip(Some(state), count, word(state))) }
            }
        }
        form #filter.filter role="search" method="get" action=(PATH) {
            div.field.grow {
                label for="q" { "Filter" }
                input #q type="search" name="q" value=(query.filter.text) placeholder="branch, #number, commit or reason"
                    autocomplete="off" spellcheck="false";
            }
            @if several {
                div.field {
                    label for="generator" { "Generator" }
                    select #generator name="generator" {
                        option value="" { "all" }
                        @for generator in &overview.generators {
                            option value=(generator.name)
                                selected[query.filter.generator.as_deref() == Some(&generator.name)] { (generator.name) }
                        }
                    }
                }
            } @else if let Some(generator) = &query.filter.generator {
                input type="hidden" name="generator" value=(generator);
            }
            @if let Some(repository) = &query.filter.repository { input type="hidden" name="repository" value=(repository); }
            @if let Some(state) = query.filter.state { input type="hidden" name="standing" value=(state.as_str()); }
            @if query.filter.sort != Sort::default() {
                input type="hidden" name="sort" value=(query.filter.sort.as_str());
            }
            @if let Some(order) = query.filter.order {
                input type="hidden" name="order" value=(if order == Order::Up { "asc" } else { "desc" });
            }
            @if query.still { input type="hidden" name="refresh" value="off"; }
            button.secondary { "Apply" }
        }
    }
}

fn rows(overview: &Overview, query: &Query, several: bool) -> Markup {
    if overview.lines.is_empty() {
        return html! {
            div.card.empty {
                @if overview.total == 0 {
                    p { "Nobody has asked for anything yet. Once Argo CD asks, its branches are listed here." }
                } @else {
                    p { "Nothing fits." }
                    p { a href=(Query::default().with(|filter| *filter = Filter::default())) { "Show all" } }
                }
            }
        };
    }
    html! {
        p.sort-small { "Sorted by "
            @for (index, (sort, _, head)) in COLUMNS.iter().enumerate() {
                @if index > 0 { " · " }
                @if *sort == query.filter.sort { strong { (head.to_lowercase()) } }
                @else { a href=(query.with(|filter| (filter.sort, filter.order) = (*sort, None))) { (head.to_lowercase()) } }
            }
        }
        // The roles say again what the elements mean: where rows become cards, browsers forget it.
        table.lines role="table" {
            caption.unseen { (what(overview)) ", and how they are answered" }
            thead role="rowgroup" { tr role="row" {
                @for column in COLUMNS { (head(column, query)) }
                th role="columnheader" scope="col" { "Why" }
            } }
            tbody role="rowgroup" {
                @for row in &overview.lines { (line(row, overview, query, several)) }
            }
        }
        (pages(overview, query))
    }
}

/// A column's head, which sorts by it, and by it the other way round.
fn head((sort, id, label): (Sort, &str, &str), query: &Query) -> Markup {
    let current = query.filter.sort == sort;
    let order = query.filter.order.unwrap_or(query.filter.sort.usual());
    let other = if order == Order::Up { Order::Down } else { Order::Up };
    let wanted = if current { other } else { sort.usual() };
    let wanted = Some(wanted).filter(|wanted| *wanted != sort.usual());
    let sorted = current.then_some(if order == Order::Up { "ascending" } else { "descending" });
    html! {
        th role="columnheader" scope="col" class=(format!("col-{id}")) aria-sort=[sorted] {
            a id=(format!("sort-{id}")) href=(query.with(|filter| (filter.sort, filter.order) = (sort, wanted))) {
                (label)
                @if current { span.arrow aria-hidden="true" { @if order == Order::Up { "↑" } @else { "↓" } } }
            }
        }
    }
}

fn line(row: &Row, overview: &Overview, query: &Query, several: bool) -> Markup {
    let address = of_line(row);
    // Where a generator answers for one repository only, that is said once.
    let fixed = overview.generators.iter().find(|generator| generator.name == row.generator);
    let is_fixed = |name: &str| fixed.is_some_and(|fixed| fixed.repository.as_deref() == Some(name));
    let repository = row.repository.as_deref().filter(|name| !is_fixed(name) && row.about.is_none());
    html! {
        tr role="row" {
            td.col-number role="cell" data-label="Pull request" {
                @match row.number { Some(number) => { "#" (number) }, None => { span.quiet title="no pull request" { "–" } } }
            }
            td.col-branch role="cell" data-label="Branch" {
                a href=(address) {
                    @match (&row.branch, &row.about) {
                        (Some(branch), _) => (name(branch)),
                        (None, Some(about)) => (name(&of_list(about))),
                        (None, None) => "unnamed",
                    }
                }
                @if several || repository.is_some() {
                    span.quiet.small {
                        @if several { (name(&row.generator)) }
                        @if let Some(repository) = repository {
                            @if several { " · " }
                            a href=(query.with(|filter| filter.repository = repository.parse().ok())) { (name(repository)) }
                        }
                    }
                }
            }
            td.col-standing role="cell" data-label="Standing" { (standing(row.standing)) }
            td.col-age role="cell" data-label="Served" {
                @match (&row.commit, row.age_seconds) {
                    (None, age) if row.about.is_some() => {
                        @match row.items { Some(items) => (count(items, "item")), None => span.quiet { "–" } }
                        @if let Some(age) = age { span.quiet.small { "for " (span(age)) } }
                    },
                    (Some(commit), age) => {
                        code { (commit.get(..7).unwrap_or(commit)) }
                        @if let Some(age) = age { span.quiet.small { "for " (span(age)) } }
                    },
                    (None, _) => span.quiet { "nothing" },
                }
            }
            td.col-answered role="cell" data-label="Looked at" {
                @match row.answered_at.or(row.asked_at) { Some(at) => (time(at, overview.now)), None => span.quiet { "–" } }
            }
            td.col-reason role="cell" data-label="Why" {
                (why(row))
            }
        }
    }
}

fn why(row: &Row) -> Markup {
    let held = row.held_back.filter(|_| !row.reason.contains("the guard holds back"));
    html! {
        @if let Some(held) = held { "the guard holds back that " (held.vanish) " of " (count(held.of, "item")) " vanish" }
        @match (row.standing, &row.about) {
            _ if !row.reason.is_empty() => { @if held.is_some() { "; " } (name(&row.reason)) },
            _ if held.is_some() => {},
            (State::Fresh, None) => span.quiet { "green and complete" },
            (State::Fresh, Some(_)) => span.quiet { "its parts say so" },
            _ => span.quiet { "–" },
        }
    }
}

fn pages(overview: &Overview, query: &Query) -> Markup {
    let first = (overview.page - 1) * overview.per_page + 1;
    let last = first + overview.lines.len() - 1;
    let to = |page: usize| query.with(|filter| filter.page = page);
    html! {
        nav.pages aria-label="Pages" {
            span.quiet { (thousands(first as u64)) "–" (thousands(last as u64)) " of " (thousands(overview.matching as u64)) }
            @if overview.pages > 1 {
                span.steps {
                    @if overview.page > 1 {
                        a #first-page href=(to(1)) { "First" }
                        a #previous-page rel="prev" href=(to(overview.page - 1)) { "Previous" }
                    }
                    span { "Page " (overview.page) " of " (overview.pages) }
                    @if overview.page < overview.pages {
                        a #next-page rel="next" href=(to(overview.page + 1)) { "Next" }
                        a #last-page href=(to(overview.pages)) { "Last" }
                    }
                }
            }
        }
    }
}
