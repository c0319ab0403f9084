use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::explain::Now;

fn now() -> Now {
    Now { moment: Moment::after_start(Duration::from_hours(100)), wall: DateTime::UNIX_EPOCH }
}

fn line(number: Option<u64>, branch: &str, state: State) -> Line {
    let base = super::super::join::bare(&"preview".into(), "myorg/myrepo".parse().ok(), state);
    Line { number, branch: branch.parse().ok(), ..base }
}

fn answered(line: Line, hours: u64, reason: &str) -> Line {
    let at = Moment::after_start(Duration::from_hours(hours));
    let noted = Noted {
        branch: "b".parse().unwrap(),
        stood: Stood::Answered(Standing::Held),
        since: at,
        at,
        commit: "a".repeat(40).parse().ok(),
        reason: reason.into(),
        seen: None,
    };
    Line { noted: Some(Arc::new(noted)), answered_at: now().wall(at), ..line }
}

fn some() -> Vec<Line> {
    vec![
        answered(line(Some(2), "zebra", State::Held), 10, "abc1234 is red (build)"),
        line(Some(12), "Apple/pie", State::Fresh),
        line(None, "main", State::NotAsked),
        answered(line(Some(7), "mango", State::Refused), 20, ""),
    ]
}

fn branches(filter: &Filter) -> Vec<String> {
    page(some(), filter).lines.iter().map(|line| line.branch.as_ref().unwrap().to_string()).collect()
}

#[test]
fn rows_are_sorted_either_way_and_what_has_none_is_last() {
    for (sort, usual, other) in [
        (Sort::Number, ["Apple/pie", "mango", "zebra", "main"], ["zebra", "mango", "Apple/pie", "main"]),
        (Sort::Branch, ["Apple/pie", "main", "mango", "zebra"], ["zebra", "mango", "main", "Apple/pie"]),
        (Sort::Standing, ["mango", "zebra", "Apple/pie", "main"], ["main", "Apple/pie", "zebra", "mango"]),
        (Sort::Answered, ["mango", "zebra", "Apple/pie", "main"], ["zebra", "mango", "Apple/pie", "main"]),
        // Nothing is served of any.
        (Sort::Age, ["Apple/pie", "mango", "zebra", "main"], ["Apple/pie", "mango", "zebra", "main"]),
    ] {
        let filter = Filter { sort, ..Filter::default() };
        assert_eq!(branches(&filter), usual, "{sort:?}");
        let order = Some(if sort.usual() == Order::Up { Order::Down } else { Order::Up });
        assert_eq!(branches(&Filter { order, ..filter }), other, "{sort:?}");
    }
}

#[test]
fn rows_are_filtered_by_each_word() {
    for (text, found) in [
        ("", vec!["Apple/pie", "mango", "zebra", "main"]),
        ("APPLE", vec!["Apple/pie"]),
        ("2", vec!["Apple/pie", "zebra"]),
        ("#2", vec!["zebra"]),
        ("#3", vec![]),
        ("red  zeb", vec!["zebra"]),
        ("red mango", vec![]),
        ("aaaaaaa", vec!["mango", "zebra"]),
        ("myorg", vec!["Apple/pie", "mango", "zebra", "main"]),
    ] {
        assert_eq!(branches(&Filter { text: text.to_owned(), ..Filter::default() }), found, "{text}");
    }
    let elsewhere = |repository: &str| Filter { repository: repository.parse().ok(), ..Filter::default() };
    assert_eq!(page(some(), &elsewhere("MyOrg/myrepo")).matching, 4);
    assert_eq!(page(some(), &elsewhere("myorg/other")).matching, 0);
    let other = Filter { generator: Some("other".to_owned()), ..Filter::default() };
    assert_eq!((page(some(), &other).matching, page(some(), &other).total), (0, 4));
}

#[test]
fn states_are_counted_whichever_is_filtered_for() {
    let filter = Filter { state: Some(State::Held), text: "m".to_owned(), ..Filter::default() };
    let page = page(some(), &filter);
    assert_eq!(page.counts.get("held"), Some(&1));
    assert_eq!(page.counts.get("refused"), Some(&1));
    assert_eq!((page.counts.values().sum::<usize>(), page.matching, page.total), (4, 1, 4));
    assert_eq!(page.counts.len(), State::ALL.len());
}

#[test]
fn lists_are_meant_by_what_they_are_about() {
    let key = ListKey::of_inputs(&"tenants".into(), r#"{"plan":"gold"}"#);
    let list = Line {
        branch: None,
        list: Some(OfList { key, record: None, noted: None }),
        ..line(None, "x", State::NotAsked)
    };
    let about = |about: &str| Which { about: Some(about.to_owned()), ..Which::default() };
    assert!(list.fits(&about(r#"inputs {"plan":"gold"}"#)) && !list.fits(&about("inputs {}")));
    assert!(!list.fits(&Which { number: Number::None, ..Which::default() }), "it is no branch");
    assert!(!line(Some(2), "zebra", State::Held).fits(&about("inputs {}")));
    let page = page(vec![list], &Filter { text: "GOLD".to_owned(), ..Filter::default() });
    assert_eq!((page.matching, page.lines[0].items()), (1, None));
}

#[test]
fn lines_are_meant_by_number_or_by_name() {
    let pull = line(Some(2), "zebra", State::Held);
    let own = line(None, "zebra", State::NotAsked);
    let which = |number, branch: Option<&str>| Which { number, branch: branch.map(str::to_owned), ..Which::default() };
    let fits = |which: &Which| [pull.fits(which), own.fits(which)];
    assert_eq!(fits(&which(Number::Any, Some("zebra"))), [true, true]);
    assert_eq!(fits(&which(Number::None, Some("zebra"))), [false, true]);
    assert_eq!(fits(&which(Number::Is(2), None)), [true, false]);
    // A branch may have been renamed.
    assert_eq!(fits(&which(Number::Is(2), Some("zebra-before"))), [true, false]);
    assert_eq!(fits(&which(Number::Is(3), Some("zebra"))), [false, false]);
    assert_eq!(fits(&which(Number::Any, Some("zebr"))), [false, false]);
    assert!(!pull.fits(&Which { repository: "o/r".parse().ok(), ..which(Number::Is(2), None) }));
    assert!(!pull.fits(&Which { repository_id: Some(1), ..which(Number::Is(2), None) }));
}

proptest! {
    #[test]
    fn pages_are_the_whole_list_in_order(count in 0_u16..1000, sort in 0..Sort::ALL.len(), down in any::<bool>()) {
        let (sort, order) = (Sort::ALL[sort], if down { Order::Down } else { Order::Up });
        let one = |number: u16| {
            let state = State::ALL[usize::from(number) % State::ALL.len()];
            line(Some(u64::from(number) * 7919 % 1009), &format!("b{number}"), state)
        };
        let lines = || (0..count).map(one).collect::<Vec<_>>();
        let at = |number: usize| page(lines(), &Filter { page: number, sort, order: Some(order), ..Filter::default() });
        let pages = at(1).pages;
        let mut all = Vec::new();
        for number in 1..=pages {
            let page = at(number);
            prop_assert_eq!((page.number, page.pages, page.matching), (number, pages, usize::from(count)));
            prop_assert!(page.lines.len() <= PER_PAGE && (number == pages || page.lines.len() == PER_PAGE));
            all.extend(page.lines);
        }
        prop_assert!(all.windows(2).all(|two| compare(&two[0], &two[1], sort, order) == Ordering::Less));
        let mut numbers: Vec<_> = all.iter().map(|line| line.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        prop_assert_eq!(numbers.len(), usize::from(count));
        // A page that there is not is the nearest that there is.
        prop_assert_eq!((at(0).number, at(99).number), (1, pages));
    }
}
