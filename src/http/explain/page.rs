//! What all pages share: the frame around them, signing in, a message.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{
    ICON, PATH, SCRIPT, SIGN_IN, SIGN_OUT, STYLE, Visitor,
    session::hex,
    text::{coded, name, span, time},
};
use crate::explain::{Budget, QuotaView, ServiceView};

/// How often a page asks for itself anew, in seconds.
const REFRESH: u32 = 15;

/// The same where no script runs: the whole page is loaded then.
const REFRESH_WHOLE: u32 = 60;

/// What tells the styles and the script of one build from those of another.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for part in [include_str!("style.css"), include_str!("script.js"), include_str!("icon.svg")] {
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()[..6])
});

/// Whether a page asks for itself anew, and where the other kind is.
pub(super) enum Refresh<'a> {
    /// It does.
    Yes {
        /// Where it does not.
        still: &'a str,
    },
    /// It does not.
    No,
}

/// A whole page.
pub(super) fn frame(title: &str, visitor: Option<&Visitor>, refresh: &Refresh<'_>, main: &Markup) -> Markup {
    let asset = |path: &str| format!("{path}?v={}", *VERSION);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · lastgreen" }
                link rel="stylesheet" href=(asset(STYLE));
                link rel="icon" type="image/svg+xml" href=(asset(ICON));
                @if let Refresh::Yes { .. } = refresh {
                    noscript { meta http-equiv="refresh" content=(REFRESH_WHOLE); }
                }
                script src=(asset(SCRIPT)) defer {}
            }
            body data-refresh=[matches!(refresh, Refresh::Yes { .. }).then_some(REFRESH)] {
                a.skip href="#main" { "Skip to the content" }
                (super::text::shapes())
                header.top {
                    a.brand href=(PATH) {
                        img src=(asset(ICON)) width="22" height="22" alt="";
                        "lastgreen"
                    }
                    div.tools {
                        @if let Refresh::Yes { still } = refresh {
                            noscript {
                                span.quiet { "Loads itself anew every minute. " a href=(still) { "Stop that" } }
                            }
                        }
                        span #tools {}
                        @if let Some(visitor) = visitor { (who(visitor)) }
                    }
                }
                main #main tabindex="-1" { (main) }
            }
        }
    }
}

/// A way in or out.
fn who(visitor: &Visitor) -> Markup {
    html! {
        @if let Some(form) = &visitor.form {
            form method="post" action=(format!("{SIGN_OUT}?form={form}")) { button.plain { "Sign out" } }
        } @else if visitor.may_sign_in {
            a href=(SIGN_IN) { "Sign in" }
        }
    }
}

/// A page that asks for a token. `next` is the query to go on with, `again` the address that the page itself goes on to.
pub(super) fn sign_in(next: &str, wrong: Option<&str>, again: Option<&str>) -> Markup {
    let main = html! {
        section.card.narrow {
            h1 { "Sign in" }
            p { "Why previews are as they are is shown to whoever has a token from the file that " code { "ops.tokenFile" }
                " names in lastgreen's configuration." }
            @if let Some(wrong) = wrong { p.alert role="alert" { (coded(wrong)) } }
            form.stack method="post" action=(SIGN_IN) {
                input type="hidden" name="next" value=(next);
                label for="token" { "Token" }
                input #token type="password" name="token" required autofocus autocomplete="current-password" spellcheck="false"
                    aria-invalid=[wrong.map(|_| "true")];
                button.primary { "Sign in" }
            }
        }
    };
    let page = frame("Sign in", None, &Refresh::No, &main);
    let Some(again) = again else { return page };
    let again = html! { meta http-equiv="refresh" content=(format!("0; url={again}")); };
    let (head, rest) = page.0.split_once("<title>").unwrap_or_default();
    PreEscaped(format!("{head}{}<title>{rest}", again.0))
}

/// A page with one message.
pub(super) fn message(title: &str, message: &str, visitor: Option<&Visitor>) -> Markup {
    let main = html! {
        section.card.narrow {
            h1 { (title) }
            p { (coded(message)) }
            @if visitor.is_some() { p { a href=(PATH) { "All previews" } } }
        }
    };
    frame(title, visitor, &Refresh::No, &main)
}

/// What is left of budgets, as bars: what services say themselves, and what we allow ourselves.
pub(super) fn budgets(budgets: &[Budget], services: &[ServiceView], now: DateTime<Utc>) -> Markup {
    html! {
        section #budgets.card data-live aria-labelledby="budgets-title" {
            h2 #budgets-title { "Budgets" }
            @if budgets.is_empty() {
                p.quiet { "GitHub has named no limit." }
            }
            @for budget in budgets {
                div.budget {
                    div.budget-line {
                        strong { (budget.name) }
                        span { (thousands(budget.remaining)) " of " (thousands(budget.limit)) " left, all of them again "
                            (time(budget.reset_at, now)) }
                    }
                    (bar(budget.remaining, budget.limit, &format!("{}: left of this hour's budget", budget.name)))
                }
            }
            @for service in services { (of_service(service, now)) }
        }
    }
}

/// How much of something is left.
fn bar(left: u64, of: u64, label: &str) -> Markup {
    html! {
        meter min="0" max=(of) low=(of / 5) high=(of * 2 / 5) optimum=(of) value=(left.min(of)) aria-label=(super::text::visible(label)) {
            (left) " of " (of)
        }
    }
}

/// A service with one credential.
fn of_service(service: &ServiceView, now: DateTime<Utc>) -> Markup {
    let allowed = u64::from(service.per_second) * 60;
    let left = allowed.saturating_sub(service.last_minute);
    html! {
        div.budget {
            div.budget-line {
                span {
                    strong { (name(&service.host)) }
                    @if let Some(account) = &service.account { span.quiet { ", " (name(account)) } }
                }
                span { (thousands(left)) " of " (thousands(allowed)) " requests a minute left of our pace" }
            }
            (bar(left, allowed, &format!("{}: left of a minute's pace", service.host)))
            @if let Some(quota) = &service.quota { (of_quota(quota, &service.host, now)) }
            p.quiet.small {
                code { "pace" } ": " (service.per_second) " a second, " (service.concurrent) " at once; "
                @match &service.account {
                    None => "nothing was sent to it yet.",
                    Some(_) => {
                        (thousands(service.last_minute)) " sent in the last minute, " (service.under_way) " under way."
                        // What GitHub says is above.
                        @if service.quota.is_none() && service.host != "GitHub" { " It says nothing of a limit of its own." }
                    }
                }
            }
            @if let Some(until) = service.paused_until {
                p.warn { "It has asked us to slow down, and is asked again " (time(until, now)) "." }
            }
            @if let Some(rests) = &service.rests {
                p.warn { (name(&rests.why)) "; the credential rests" @if let Some(until) = rests.until { ", and is shown again " (time(until, now)) } "." }
            }
            @if let Some(open) = &service.open {
                p.warn { (name(&open.why)) "; it is left alone, and tried again "
                    @match open.until.filter(|until| *until > now) { Some(until) => (time(until, now)), None => "by the next question" } "." }
            }
        }
    }
}

/// What a service says itself.
fn of_quota(quota: &QuotaView, host: &str, now: DateTime<Utc>) -> Markup {
    html! {
        div.budget-line {
            span { "By its own word" @if let Some(at) = quota.seen_at { ", " (time(at, now)) } }
            span {
                (thousands(quota.remaining))
                @if let Some(limit) = quota.limit { " of " (thousands(limit)) }
                " pulls left"
                @if let Some(window) = quota.window_seconds { " in " (span(i64::try_from(window).unwrap_or(i64::MAX))) }
            }
        }
        @if let Some(limit) = quota.limit { (bar(quota.remaining, limit, &format!("{host}: pulls left"))) }
    }
}

/// So many of something.
pub(super) fn count(number: usize, what: &str) -> String {
    let number = (thousands(number as u64), number);
    if number.1 == 1 { format!("1 {what}") } else { format!("{} {what}s", number.0) }
}

/// A number as people read it.
pub(super) fn thousands(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_threes() {
        let told = [0_u64, 12, 123, 1234, 123_456, 1_234_567].map(thousands);
        assert_eq!(told, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }

    #[test]
    fn whoever_comes_from_elsewhere_asks_once_more() {
        let page = sign_in("branch=\"><script>", None, Some("/explain?again=1")).into_string();
        assert!(
            page.contains("<meta http-equiv=\"refresh\" content=\"0; url=/explain?again=1\"><title>Sign in"),
            "{page}"
        );
        assert!(page.contains("value=\"branch=&quot;&gt;&lt;script&gt;\""), "{page}");
        assert!(!sign_in("", None, None).into_string().contains("http-equiv"));
    }
}
