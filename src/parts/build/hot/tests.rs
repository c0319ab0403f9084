use chrono::DateTime;

use super::*;
use crate::domain::{Listed, Pull, Repository};

fn second(second: u64) -> Moment {
    Moment::after_start(Duration::from_secs(100_000 + second))
}

/// So many pull requests, the newest first, and so with the highest number.
fn listing(count: u64) -> Listing {
    let repository = Repository { id: 1, name: "myorg/myrepo".parse().unwrap() };
    let mut listing = Listing::new(second(0), repository);
    let listed = (1..=count).rev().map(|number| Listed {
        pull: Pull {
            number,
            open: true,
            from_fork: false,
            branch: format!("b{number}").parse().unwrap(),
            head: "a".repeat(40).parse().unwrap(),
            test_merge: None,
            commits: None,
        },
        passed: true,
        more: None,
        began: second(0),
        github_time: DateTime::UNIX_EPOCH,
    });
    listing.add(listed.collect());
    listing.complete = true;
    listing
}

fn ask(hot: &Hot, number: u64, listing: &Listing, at: u64) {
    hot.asked(&By::Number(number), &format!("b{number}").parse().unwrap(), Some(listing), second(at));
}

fn numbers(due: &[Due]) -> Vec<u64> {
    let number = |due: &Due| match due.wanted.by {
        By::Number(number) => number,
        By::Branch(_) => 0,
    };
    due.iter().map(number).collect()
}

fn known(fresh_until: u64, is_final: bool) -> Known {
    Known { fresh_until: second(fresh_until), is_final, by_head: is_final, is_ready: true, walk: 1, ..Known::default() }
}

#[test]
fn the_more_guesses_are_right_the_more_there_are() {
    let (hot, listing) = (Hot::default(), listing(1000));
    assert!(hot.guess(&listing, second(0)).is_empty());
    ask(&hot, 1000, &listing, 0);
    // The first one could not be guessed.
    assert_eq!(numbers(&hot.guess(&listing, second(0))), (992..1000).rev().collect::<Vec<_>>());
    assert!(hot.guess(&listing, second(0)).is_empty());
    let (mut guessed, mut asked, mut rounds) = (8, 999, 0);
    while guessed < 999 {
        rounds += 1;
        let until = 999 - guessed;
        while asked > until {
            ask(&hot, asked, &listing, 1);
            guessed += u64::try_from(hot.guess(&listing, second(1)).len()).unwrap();
            asked -= 1;
        }
    }
    assert!(rounds <= 8, "{rounds}");
}

#[test]
fn who_asks_from_the_other_end_is_guessed_backwards_and_wrong_guesses_are_forgotten() {
    let (hot, listing) = (Hot::default(), listing(100));
    ask(&hot, 1, &listing, 0);
    ask(&hot, 2, &listing, 0);
    assert_eq!(numbers(&hot.guess(&listing, second(0))), (3..7).collect::<Vec<_>>());
    // They are passed over, and so were wrong.
    ask(&hot, 50, &listing, 1);
    assert_eq!(numbers(&hot.guess(&listing, second(1))), (51..53).collect::<Vec<_>>());
    // Nobody asks for them.
    hot.look_over(second(122));
    ask(&hot, 51, &listing, 123);
    assert_eq!(numbers(&hot.guess(&listing, second(123))), (52..54).collect::<Vec<_>>());
}

#[test]
fn a_line_is_due_before_its_next_question_or_before_it_is_old() {
    let (hot, listing) = (Hot::default(), listing(3));
    for number in 1..=3 {
        ask(&hot, number, &listing, 0);
        ask(&hot, number, &listing, 30);
    }
    hot.looked(&By::Number(1), known(330, true), None, second(30));
    hot.looked(&By::Number(2), known(45, false), None, second(30));
    hot.looked(&By::Number(3), Known { is_ready: false, ..known(45, false) }, None, second(30));
    assert_eq!(hot.look_over(second(31)), (Some(second(57)), 0));
    assert!(hot.take_due(second(56), Duration::ZERO, |_, _| true).is_empty());
    // What was never answered goes first.
    assert_eq!(numbers(&hot.take_due(second(57), Duration::ZERO, |_, _| true)), [3, 2]);
    assert!(hot.take_due(second(57), Duration::ZERO, |_, _| true).is_empty());
    assert_eq!(numbers(&hot.take_due(second(328), Duration::ZERO, |_, is_final| is_final)), [1]);
}

#[test]
fn a_head_is_renewed_by_its_page_for_a_while() {
    let (hot, listing) = (Hot::default(), listing(1));
    ask(&hot, 1, &listing, 0);
    let by = By::Number(1);
    let renewable = |at: u64| hot.take_due(second(at), Duration::from_hours(1), |_, _| true)[0].wanted.renewable;
    hot.looked(&by, known(300, true), Some(How::Whole), second(0));
    assert!(renewable(300));
    hot.looked(&by, known(600, true), Some(How::Renewed), second(300));
    assert!(renewable(1799));
    hot.looked(&by, known(2100, true), Some(How::Renewed), second(1799));
    assert!(!renewable(1815));
    hot.looked(&by, known(2100, true), Some(How::Whole), second(1815));
    assert!(renewable(1830));
    hot.looked(&by, known(2100, false), Some(How::Whole), second(1830));
    assert!(!renewable(1845));
}

#[test]
fn a_line_stays_for_an_hour_or_two_of_its_polls() {
    let (hot, listing) = (Hot::default(), listing(2));
    ask(&hot, 1, &listing, 0);
    ask(&hot, 2, &listing, 0);
    ask(&hot, 2, &listing, 3000);
    let stays = |at: u64| {
        hot.look_over(second(at));
        [1, 2].map(|number| hot.was_asked_since(&By::Number(number), Moment::START))
    };
    assert_eq!(stays(3600), [true, true]);
    assert_eq!(stays(3601), [false, true]);
    assert_eq!(stays(9000), [false, true]);
    assert_eq!(stays(9001), [false, false]);
}
