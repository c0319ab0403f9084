use chrono::TimeDelta;
use proptest::{prelude::*, sample::Index};

use super::*;

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn sha() -> CommitSha {
    "a".repeat(40).parse().unwrap()
}

fn run(name: &str, state: CheckState, started: i64) -> Check {
    let at = START + TimeDelta::seconds(started);
    Check {
        source: Source::Run { app: Some(15368), workflow: Some("CI".into()), event: Some("push".into()) },
        name: name.into(),
        state,
        word: format!("{state:?}").to_lowercase().into(),
        started_at: Some(at),
        changed_at: Some(at),
        id: started.unsigned_abs(),
    }
}

fn status(name: &str, state: CheckState) -> Check {
    Check { source: Source::Status, id: 0, ..run(name, state, 1) }
}

fn commit(checks: Vec<Check>) -> Commit {
    Commit { sha: sha(), parents: Vec::new(), checks, more_checks: None }
}

fn time() -> ReadTime {
    ReadTime { read_at: START + TimeDelta::hours(1), first_seen: START }
}

fn judged(checks: Vec<Check>, policy: &CiPolicy) -> String {
    judge(&commit(checks), policy, time()).to_string()
}

fn requiring(patterns: &[&str]) -> CiPolicy {
    CiPolicy { require: patterns.iter().map(|text| CheckPattern::new(text)).collect(), ..CiPolicy::default() }
}

#[test]
fn the_table() {
    use CheckState::{Failed, Passed, Pending, Skipped};
    let plain = CiPolicy::default();
    let strict = CiPolicy { skipped_fails: true, ..CiPolicy::default() };
    let lenient = CiPolicy { no_checks_pass: true, ..CiPolicy::default() };
    let queued = Check { started_at: None, ..run("build", Pending, 0) };
    let other_app =
        Check { source: Source::Run { app: Some(7), workflow: None, event: None }, ..run("build", Failed, 1) };
    for (checks, policy, expected) in [
        (vec![run("build", Passed, 1)], &plain, "green"),
        (vec![run("build", Passed, 1), status("lint", Failed)], &plain, "red (lint)"),
        (vec![run("build", Passed, 1), run("test", Pending, 1)], &plain, "pending (test)"),
        (vec![run("build", Failed, 1), run("build", Passed, 2)], &plain, "green"),
        (vec![run("build", Passed, 1), run("build", Failed, 2)], &plain, "red (build)"),
        (vec![run("build", Failed, 9), queued], &plain, "pending (build)"),
        (vec![run("build", Passed, 9), other_app], &plain, "red (build)"),
        (vec![run("build", Skipped, 1)], &plain, "green"),
        (vec![run("build", Skipped, 1)], &strict, "red (build)"),
        (vec![], &plain, "without any check"),
        (vec![], &lenient, "green"),
        (vec![], &requiring(&["build"]), "pending (required and absent: build)"),
        (vec![run("lint", Failed, 1), run("build", Passed, 1)], &requiring(&["build"]), "green"),
        (vec![run("build (a)", Passed, 1), run("build (b)", Failed, 1)], &requiring(&["build*"]), "red (build (b))"),
        (vec![run("build", Passed, 1)], &requiring(&["CI / build"]), "green"),
        (vec![run("build", Passed, 1)], &requiring(&["CD / build"]), "pending (required and absent: CD / build)"),
        (vec![status("argocd/preview", Pending), run("build", Passed, 1)], &plain, "green"),
        (vec![status("argocd/preview", Failed)], &plain, "without any check"),
        (
            vec![run("a", Failed, 1), run("b", Failed, 1), run("c", Failed, 1), run("d", Failed, 1)],
            &plain,
            "red (a, b, c and 1 more)",
        ),
    ] {
        assert_eq!(judged(checks.clone(), policy), expected, "{checks:?}");
    }
}

#[test]
fn green_settles_by_githubs_time() {
    let checks = vec![run("build", CheckState::Passed, 100)];
    for (read_at, expected) in [(100, "pending (settling)"), (114, "pending (settling)"), (115, "green")] {
        let time = ReadTime { read_at: START + TimeDelta::seconds(read_at), first_seen: START };
        assert_eq!(judge(&commit(checks.clone()), &CiPolicy::default(), time).to_string(), expected);
    }
    let ignored = vec![
        run("build", CheckState::Passed, 100),
        Check { name: "argocd/x".into(), ..run("x", CheckState::Passed, 3590) },
    ];
    assert_eq!(judged(ignored, &CiPolicy::default()), "green");
}

fn states() -> impl Strategy<Value = CheckState> {
    prop_oneof![
        Just(CheckState::Passed),
        Just(CheckState::Skipped),
        Just(CheckState::Pending),
        Just(CheckState::Failed)
    ]
}

fn checks() -> impl Strategy<Value = Vec<Check>> {
    let check = ("[ab]", states(), 0i64..4, 0u64..3, any::<bool>(), any::<bool>()).prop_map(
        |(name, state, started, id, queued, legacy)| {
            let mut check = Check { id, ..run(&name, state, started) };
            if queued {
                check.started_at = None;
            }
            if legacy {
                check.source = Source::Status;
            }
            check
        },
    );
    proptest::collection::vec(check, 0..8)
}

/// How green a verdict is.
fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Green(_) => 2,
        Verdict::Pending(_) | Verdict::NoChecks => 1,
        Verdict::Red(_) => 0,
    }
}

proptest! {
    #[test]
    fn order_and_duplicates_do_not_matter(
        (original, shuffled) in checks().prop_flat_map(|checks| (Just(checks.clone()), Just(checks).prop_shuffle())),
        doubled in any::<Index>(),
        required in any::<bool>(),
    ) {
        let policy = if required { requiring(&["a"]) } else { CiPolicy::default() };
        let expected = judge(&commit(original), &policy, time());
        let mut again = shuffled.clone();
        if !again.is_empty() {
            again.push(again[doubled.index(again.len())].clone());
        }
        prop_assert_eq!(judge(&commit(again), &policy, time()), expected);
    }

    #[test]
    fn a_failing_required_check_never_makes_anything_greener(checks in checks(), extra in "[abc]", started in 0i64..9) {
        let policy = requiring(&["a", "b*", "c"]);
        let before = rank(&judge(&commit(checks.clone()), &policy, time()));
        let mut more = checks;
        more.push(run(&extra, CheckState::Failed, started));
        prop_assert!(rank(&judge(&commit(more), &policy, time())) <= before);
    }

    #[test]
    fn nothing_is_green_while_a_counting_check_is_not(checks in checks()) {
        let policy = CiPolicy::default();
        let commit = commit(checks);
        if let Verdict::Green(green) = judge(&commit, &policy, time()) {
            prop_assert_eq!(green.commit(), commit.sha);
            for judged in roles(&commit, &policy) {
                prop_assert!(!matches!(judged.role, Role::Counts(CheckState::Failed | CheckState::Pending)));
            }
        }
    }
}
