//! Small pieces of a page: names that strangers chose, times, standings.
//!
//! `maud` escapes whatever it is given. What is done here beside that is against names that are legal and look like
//! something else: what has no shape, or turns the direction of what follows, is shown by its number.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::explain::{Effect, State, Verdict, text};

/// A name as it can be seen.
pub(super) fn visible(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() || is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks of direction, joiners, fillers and other characters without a shape of their own.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A name that a stranger chose, kept apart from the direction of what is around it.
pub(super) fn name(name: &str) -> Markup {
    html! { bdi { (visible(name)) } }
}

/// A text of ours in which what is between back ticks is code.
pub(super) fn coded(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (visible(part)) } } @else { (visible(part)) }
        }
    }
}

/// A time, by how long ago or ahead it is.
pub(super) fn time(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let seconds = (now - at).num_seconds();
    let words = match seconds {
        0..=1 => "just now".to_owned(),
        2.. => format!("{} ago", span(seconds)),
        _ => format!("in {}", span(-seconds)),
    };
    html! { time datetime=(text(at)) title=(text(at)) { (words) } }
}

/// A time by the clock.
pub(super) fn clock(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(text(at)) title=(text(at)) { (at.format("%H:%M:%S UTC")) } }
}

/// How long something is, in its largest unit.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How a line is answered, in a word.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::NotYet => "not yet",
        State::NotAsked => "not asked",
        state => state.as_str(),
    }
}

/// The same in a sentence.
pub(super) fn sentence(state: State) -> &'static str {
    match state {
        State::Fresh => "The last green build is served.",
        State::Held => "There is nothing newer to serve: what was answered before is kept.",
        State::NotYet => "There is nothing to serve yet: an empty list is answered.",
        State::Unknown => {
            "GitHub or a registry cannot say, and nothing was answered before: an empty list is answered."
        }
        State::Refused => {
            "The last question was refused with a 503: Argo CD leaves the whole ApplicationSet as it is for three minutes."
        }
        State::NotAsked => "Nobody has asked since this lastgreen began.",
    }
}

/// How a list is answered, in a sentence.
pub(super) fn sentence_of_list(state: State) -> &'static str {
    match state {
        State::Fresh => "What its parts say is answered.",
        State::Held => "What was answered before is kept, or stands in for what nobody can say.",
        State::Refused => sentence(State::Refused),
        State::NotYet | State::Unknown => "An empty list is answered.",
        State::NotAsked => sentence(State::NotAsked),
    }
}

/// What a list is about, as people say it.
pub(super) fn of_list(about: &str) -> String {
    if let Some(repository) = about.strip_prefix("pull requests of ") {
        return format!("all open pull requests of {repository}");
    }
    match about.strip_prefix("inputs ") {
        Some("{}") => "no inputs".to_owned(),
        Some(inputs) => pairs(inputs).unwrap_or_else(|| inputs.to_owned()),
        None => about.to_owned(),
    }
}

/// Inputs as `key=value`, where each is as plain as that.
fn pairs(inputs: &str) -> Option<String> {
    let inputs: serde_json::Map<String, serde_json::Value> = serde_json::from_str(inputs).ok()?;
    let pairs = inputs.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    Some(pairs.collect::<Option<Vec<_>>>()?.join(", "))
}

/// A shape that goes with a word, for those who see colours and for those who do not.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Tick,
    Pause,
    Ring,
    Question,
    Cross,
    Dash,
}

impl Shape {
    pub(super) fn of(state: State) -> Self {
        match state {
            State::Fresh => Self::Tick,
            State::Held => Self::Pause,
            State::NotYet => Self::Ring,
            State::Unknown => Self::Question,
            State::Refused => Self::Cross,
            State::NotAsked => Self::Dash,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Tick => "M4.5 8.4 7 10.9 11.6 5.6",
            Self::Pause => "M6.2 5.2v5.6M9.8 5.2v5.6",
            Self::Ring => "M8 4.9V8.2l2.1 1.3",
            Self::Question => "M6.2 6.4a1.85 1.85 0 1 1 2.6 1.7c-.5.25-.8.6-.8 1.1M8 11.3v.1",
            Self::Cross => "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2",
            Self::Dash => "M5 8h6",
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Pause => "pause",
            Self::Ring => "ring",
            Self::Question => "question",
            Self::Cross => "cross",
            Self::Dash => "dash",
        }
    }

    /// Drawn, from [`shapes`].
    pub(super) fn drawn(self) -> Markup {
        html! { svg.shape aria-hidden="true" { use href=(format!("#{}", self.id())) {} } }
    }
}

/// All shapes, once a page: there may be hundreds of each.
pub(super) fn shapes() -> Markup {
    let all = [Shape::Tick, Shape::Pause, Shape::Ring, Shape::Question, Shape::Cross, Shape::Dash];
    html! {
        svg.shapes aria-hidden="true" {
            @for shape in all {
                symbol id=(shape.id()) viewBox="0 0 16 16" {
                    circle.disc cx="8" cy="8" r="7.25" {}
                    path.mark d=(shape.path()) {}
                }
            }
        }
    }
}

/// How a line is answered, as shape and word.
pub(super) fn standing(state: State) -> Markup {
    html! { span class=(format!("pill {}", state.as_str())) { (Shape::of(state).drawn()) (word(state)) } }
}

/// A verdict as shape and word; the classes are those of standings, whose colours it shares.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    let (class, shape, word) = match verdict {
        Verdict::Green => ("fresh", Shape::Tick, "green"),
        Verdict::Pending => ("not-yet", Shape::Ring, "pending"),
        Verdict::Red => ("refused", Shape::Cross, "red"),
        Verdict::NoChecks => ("not-asked", Shape::Dash, "no checks"),
        Verdict::Unreadable => ("unknown", Shape::Question, "cannot be read"),
    };
    html! { span class=(format!("pill {class}")) { (shape.drawn()) (word) } }
}

/// What a check did, as shape and word.
pub(super) fn effect(effect: Effect) -> Markup {
    let word = match effect {
        Effect::Passes => "passes",
        Effect::Waits => "is waited for",
        Effect::Fails => "fails",
        Effect::None => "does not count",
    };
    as_effect(effect, word)
}

/// Something that looks like an effect, with a word of its own.
pub(super) fn as_effect(effect: Effect, word: &str) -> Markup {
    let (class, shape) = match effect {
        Effect::Passes => ("fresh", Shape::Tick),
        Effect::Waits => ("not-yet", Shape::Ring),
        Effect::Fails => ("refused", Shape::Cross),
        Effect::None => ("not-asked", Shape::Dash),
    };
    html! { span class=(format!("effect {class}")) { (shape.drawn()) (word) } }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_like_something_else_is_shown() {
        assert_eq!(visible("feature/🎉-ünï"), "feature/🎉-ünï");
        assert_eq!(visible("a\u{202e}b\u{200b}c\n"), "a\\u{202e}b\\u{200b}c\\u{a}");
        assert_eq!(name("<b>\"x\"&'").into_string(), "<bdi>&lt;b&gt;&quot;x&quot;&amp;'</bdi>");
        assert_eq!(coded("by `ci.ignore: <x>` too").into_string(), "by <code>ci.ignore: &lt;x&gt;</code> too");
    }

    #[test]
    fn lists_have_names() {
        for (about, told) in [
            ("inputs {}", "no inputs"),
            (r#"inputs {"plan":"gold","status":"active"}"#, "plan=gold, status=active"),
            (r#"inputs {"a":{"b":1}}"#, r#"{"a":{"b":1}}"#),
            ("inputs sha256:abc", "sha256:abc"),
            ("pull requests of o/r", "all open pull requests of o/r"),
        ] {
            assert_eq!(of_list(about), told);
        }
    }

    #[test]
    fn times_are_told_by_their_distance() {
        let now = DateTime::UNIX_EPOCH;
        let told = |seconds: i64| time(now + TimeDelta::seconds(seconds), now).into_string();
        assert!(told(0).contains(">just now<") && told(-1).contains(">just now<"));
        assert!(told(-119).contains(">119 s ago<") && told(-7199).contains(">119 min ago<"));
        assert!(told(-7200).contains(">2 h ago<") && told(-200_000).contains(">2 d ago<"));
        assert!(told(40).contains(">in 40 s<"));
        assert!(told(40).contains("datetime=\"1970-01-01T00:00:40Z\""));
    }

    proptest! {
        #[test]
        fn no_name_becomes_markup_or_turns_what_follows(text in "(\\PC|[\u{200b}-\u{202e}<>&\"'`\n]){0,60}") {
            for shown in [name(&text).into_string(), coded(&text).into_string()] {
                let inner = shown.replace("<bdi>", "").replace("</bdi>", "").replace("<code>", "").replace("</code>", "");
                prop_assert!(!inner.contains(['<', '>', '"']), "{}", shown);
                prop_assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)));
            }
            let once: String = text.chars().filter(|c| !c.is_control() && !is_hidden(*c)).collect();
            prop_assert_eq!(visible(&once), once.clone());
        }
    }
}
