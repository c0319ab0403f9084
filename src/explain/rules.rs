//! The rule that judged a check, in the words of the configuration. Pure.

use super::Effect;
use crate::domain::{Check, CheckPattern, CheckState, CiPolicy, Pending, Role, Verdict};

/// What a check did to the verdict, and by which rule.
pub(super) fn ruled(check: &Check, role: Role, policy: &CiPolicy) -> (Effect, String) {
    let matching = |patterns: &[CheckPattern]| {
        patterns.iter().find(|pattern| pattern.matches(check)).map_or_else(String::new, ToString::to_string)
    };
    let counts = || {
        if policy.require.is_empty() {
            "`ci.require` names none, so every check counts".to_owned()
        } else {
            format!("required by `ci.require: {}`", matching(&policy.require))
        }
    };
    match role {
        Role::Superseded => (Effect::None, "a newer run of the same check stands in its place".to_owned()),
        Role::Ignored => (Effect::None, format!("ignored by `ci.ignore: {}`", matching(&policy.ignore))),
        Role::NotRequired => (Effect::None, "not among those that `ci.require` names".to_owned()),
        Role::Counts(state) => {
            let effect = match state {
                CheckState::Passed | CheckState::Skipped => Effect::Passes,
                CheckState::Pending => Effect::Waits,
                CheckState::Failed => Effect::Fails,
            };
            let skipped = match (check.state, policy.skipped_fails) {
                (CheckState::Skipped, true) => "; `ci.skipped: fail`",
                (CheckState::Skipped, false) => "; `ci.skipped: pass`",
                _ => "",
            };
            (effect, counts() + skipped)
        }
    }
}

/// The rule behind a verdict that no single check tells.
pub(super) fn of_verdict(verdict: &Verdict, policy: &CiPolicy) -> Option<String> {
    match verdict {
        Verdict::Pending(Pending::Missing(patterns)) => {
            let patterns: Vec<_> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
            Some(format!("`ci.require` names {}, and no such check is there yet", patterns.join(", ")))
        }
        Verdict::Pending(Pending::Settling) => {
            Some(format!("all has passed, but less than `ci.settle` ({} s) ago", policy.settle.as_secs()))
        }
        Verdict::NoChecks => Some("a commit without any check waits for one (`ci.noChecks: wait`)".to_owned()),
        Verdict::Green(_) | Verdict::Red(_) | Verdict::Pending(Pending::Running(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        CheckState::{Failed, Passed, Pending as Waiting, Skipped},
        Source,
    };

    #[test]
    fn each_part_has_its_rule() {
        let check = |name: &str, state| Check {
            source: Source::Run { app: None, workflow: Some("CI".into()), event: None },
            name: name.into(),
            state,
            word: "x".into(),
            started_at: None,
            changed_at: None,
            id: 1,
        };
        let patterns = |texts: &[&str]| texts.iter().map(|text| CheckPattern::new(text)).collect::<Vec<_>>();
        let open = CiPolicy::default();
        let strict = CiPolicy {
            require: patterns(&["lint", "CI / *"]),
            ignore: patterns(&["x/*", "argocd/*"]),
            skipped_fails: true,
            ..CiPolicy::default()
        };
        for (name, state, role, policy, effect, rule) in [
            (
                "a",
                Passed,
                Role::Counts(Passed),
                &open,
                Effect::Passes,
                "`ci.require` names none, so every check counts",
            ),
            ("a", Skipped, Role::Counts(Passed), &open, Effect::Passes, "every check counts; `ci.skipped: pass`"),
            ("build", Waiting, Role::Counts(Waiting), &strict, Effect::Waits, "required by `ci.require: CI / *`"),
            ("lint", Skipped, Role::Counts(Failed), &strict, Effect::Fails, "`ci.require: lint`; `ci.skipped: fail`"),
            ("argocd/a", Failed, Role::Ignored, &strict, Effect::None, "ignored by `ci.ignore: argocd/*`"),
            ("b", Failed, Role::NotRequired, &strict, Effect::None, "not among those that `ci.require` names"),
            ("b", Failed, Role::Superseded, &open, Effect::None, "a newer run of the same check"),
        ] {
            let (is, told) = ruled(&check(name, state), role, policy);
            assert!(is == effect && told.contains(rule), "{name}: {is:?} {told}");
        }
        let missing = Verdict::Pending(Pending::Missing(vec!["a".to_owned(), "b*".to_owned()]));
        assert!(of_verdict(&missing, &strict).unwrap().contains("names `a`, `b*`, and no such check"));
        assert!(of_verdict(&Verdict::Pending(Pending::Settling), &open).unwrap().contains("(15 s)"));
        assert!(of_verdict(&Verdict::NoChecks, &open).unwrap().contains("`ci.noChecks: wait`"));
        assert_eq!(of_verdict(&Verdict::Red(Vec::new()), &open), None);
    }
}
