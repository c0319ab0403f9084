use std::future::{pending, ready};

use chrono::DateTime;
use futures_util::{FutureExt as _, poll};

use super::*;
use crate::clock::{Clock as _, ManualClock};

struct Setup {
    clock: ManualClock,
    breaker: Breaker,
}

/// What the service does with an exchange.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answers,
    Says(Kind),
    /// It fails after so many seconds.
    Fails(u64),
    Hangs,
}

fn setup() -> Setup {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    Setup { breaker: Breaker::new("service", Arc::new(clock.clone())), clock }
}

fn error(kind: Kind, message: &str) -> UpstreamError {
    UpstreamError::new("service", kind, message)
}

fn no_wait() -> impl Future<Output = Result<(), UpstreamError>> {
    ready(Ok(()))
}

impl Setup {
    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// An exchange that hangs.
    fn hanging(&self, question: &'static str) -> impl Future<Output = Result<(), UpstreamError>> {
        self.breaker.carry(question, no_wait(), pending())
    }

    /// Asks; an exchange that is sent takes as long as it takes. Tells whether it was sent, and how it failed.
    async fn ask(&self, question: &'static str, does: Does) -> (bool, Option<UpstreamError>) {
        let sent = Mutex::new(false);
        let exchange = async {
            *sent.lock().unwrap() = true;
            match does {
                Does::Answers => Ok(()),
                Does::Says(kind) => Err(error(kind, "says something")),
                Does::Fails(after) => {
                    self.pass(after);
                    Err(error(Kind::Unavailable, "it is down"))
                }
                Does::Hangs => pending().await,
            }
        };
        let asked = self.breaker.carry(question, no_wait(), exchange);
        tokio::pin!(asked);
        let outcome = match poll!(asked.as_mut()) {
            std::task::Poll::Ready(outcome) => outcome,
            std::task::Poll::Pending => {
                self.pass(12);
                asked.await
            }
        };
        (*sent.lock().unwrap(), outcome.err())
    }

    async fn is_sent(&self, question: &'static str, does: Does) -> bool {
        self.ask(question, does).await.0
    }

    /// Opens it by two failures.
    async fn down(&self) {
        for question in ["first", "second"] {
            assert!(self.is_sent(question, Does::Fails(0)).await);
        }
    }
}

#[tokio::test]
async fn what_opens_it() {
    use Does::{Answers, Fails, Hangs, Says};
    let refused = Says(Kind::Unauthorized);
    for (does, opens) in [
        (&[Fails(0)][..], false),
        (&[Fails(0), Fails(0)], true),
        (&[Fails(0), Answers, Fails(0)], false),
        (&[Fails(0), refused, Fails(0)], false),
        (&[Fails(0), Says(Kind::Malformed), Fails(0)], false),
        (&[Says(Kind::Malformed), Says(Kind::Malformed), Says(Kind::NotFound)], false),
        (&[refused, Says(Kind::Forbidden), Says(Kind::Limited { until: Moment::START })], false),
        (&[Hangs], true),
        (&[Fails(2)], false),
        (&[Fails(4)], true),
    ] {
        let setup = setup();
        let questions = ["a", "b", "c"];
        for (question, does) in questions.into_iter().zip(does) {
            setup.ask(question, *does).await;
        }
        assert_eq!(!setup.is_sent("other", Answers).await, opens, "{does:?}");
    }
}

#[tokio::test]
async fn while_it_is_open_everybody_gets_what_opened_it_and_nothing_is_sent() {
    let setup = setup();
    setup.down().await;
    let until = setup.clock.now() + Duration::from_secs(1);
    for question in ["first", "second", "third"] {
        let (sent, outcome) = setup.ask(question, Does::Answers).await;
        let error = outcome.unwrap();
        assert!(!sent);
        assert_eq!((error.kind, error.to_string().as_str()), (Kind::Unavailable, "service: it is down"));
        // It says when the next probe is due.
        assert!(until.since(error.not_before.unwrap()) < Duration::from_millis(1), "{error:?}");
    }
    assert!(setup.breaker.ready().is_err());
}

#[tokio::test]
async fn pauses_double_up_to_a_limit_and_any_success_ends_them() {
    let setup = setup();
    setup.down().await;
    for pause in [1, 2, 4, 8, 15, 15] {
        setup.pass(pause - 1);
        assert!(!setup.is_sent("probe", Does::Answers).await, "{pause}");
        setup.pass(1);
        assert!(setup.is_sent("probe", Does::Fails(0)).await, "{pause}");
        assert!(!setup.is_sent("another", Does::Answers).await, "{pause}");
    }
    setup.pass(15);
    assert!(setup.is_sent("probe", Does::Answers).await);
    // It is closed for everybody, and begins anew.
    assert!(setup.is_sent("another", Does::Fails(0)).await);
    assert!(setup.is_sent("a third", Does::Fails(0)).await);
    setup.pass(1);
    assert!(setup.is_sent("probe", Does::Answers).await);
}

#[tokio::test]
async fn one_probe_at_a_time_and_each_has_more_time() {
    let setup = setup();
    setup.down().await;
    for (pause, time) in [(1, 3), (2, 6), (4, 12), (8, 12)] {
        setup.pass(pause);
        let probe = setup.hanging("probe");
        tokio::pin!(probe);
        assert!(poll!(probe.as_mut()).is_pending());
        setup.clock.advance(PROBE.0);
        assert!(!setup.is_sent("another", Does::Answers).await);
        setup.pass(time - 1);
        assert!(poll!(probe.as_mut()).is_pending(), "{time}");
        setup.pass(1);
        assert!(probe.await.is_err());
    }
}

#[tokio::test]
async fn what_one_question_asks_at_once_is_one_probe() {
    let setup = setup();
    setup.down().await;
    for pause in [1, 2, 4] {
        setup.pass(pause);
        let mut together: Vec<_> = (0..PROBE.1).map(|_| Box::pin(setup.hanging("together"))).collect();
        for one in &mut together {
            assert!(poll!(one.as_mut()).is_pending());
        }
        assert!(!setup.is_sent("one too many", Does::Answers).await);
        // All fail, and that is one failure.
        setup.pass(12);
        for one in together {
            assert!(one.await.is_err());
        }
    }
    setup.pass(8);
    let front = setup.hanging("front");
    tokio::pin!(front);
    assert!(poll!(front.as_mut()).is_pending());
    assert!(setup.is_sent("back", Does::Answers).await);
    assert!(setup.is_sent("another", Does::Answers).await);
}

#[tokio::test]
async fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
    let setup = setup();
    setup.down().await;
    setup.pass(1);
    {
        let probe = setup.hanging("probe");
        tokio::pin!(probe);
        assert!(poll!(probe.as_mut()).is_pending());
        setup.clock.advance(PROBE.0);
        assert!(!setup.is_sent("another", Does::Answers).await);
    }
    assert!(setup.is_sent("another", Does::Answers).await);
}

#[tokio::test]
async fn while_one_exchange_hangs_no_other_is_begun() {
    let setup = setup();
    let first = setup.hanging("first");
    tokio::pin!(first);
    assert!(poll!(first.as_mut()).is_pending());
    setup.pass(8);
    assert!(setup.breaker.ready().is_err());
    let (sent, outcome) = setup.ask("second", Does::Answers).await;
    assert!(!sent);
    assert_eq!(outcome.unwrap().to_string(), "service: no answer in time");
    // A probe goes out while the first still hangs, and is believed rather than that.
    setup.pass(1);
    assert!(setup.is_sent("second", Does::Answers).await);
    assert!(setup.is_sent("third", Does::Answers).await);
    setup.pass(3);
    assert!(first.await.is_err());
    assert!(setup.breaker.is_well());
}

#[tokio::test]
async fn what_hangs_is_nothing_where_others_succeed() {
    let setup = setup();
    let first = setup.hanging("first");
    tokio::pin!(first);
    assert!(poll!(first.as_mut()).is_pending());
    setup.pass(5);
    assert!(setup.is_sent("second", Does::Answers).await);
    setup.pass(7);
    // Its time-out is older news than that success.
    assert!(first.await.is_err());
    assert!(setup.is_sent("third", Does::Answers).await);
}

#[tokio::test]
async fn what_is_given_up_is_not_under_way() {
    let setup = setup();
    {
        let first = setup.hanging("first");
        tokio::pin!(first);
        assert!(poll!(first.as_mut()).is_pending());
    }
    setup.pass(60);
    assert!(setup.breaker.is_well());
    assert!(setup.is_sent("second", Does::Answers).await);
}

#[tokio::test]
async fn waiting_for_a_turn_is_not_hanging_and_ends_when_it_opens() {
    let setup = setup();
    let waiting = setup.breaker.carry("waiting", pending::<Result<(), _>>(), ready(Ok(())));
    tokio::pin!(waiting);
    assert!(poll!(waiting.as_mut()).is_pending());
    setup.pass(60);
    assert!(setup.breaker.is_well());
    setup.down().await;
    assert_eq!(waiting.await.unwrap_err().message.as_ref(), "it is down");
}

#[tokio::test]
async fn a_turn_that_comes_after_it_opened_is_not_used() {
    let setup = setup();
    let (give, turn) = tokio::sync::oneshot::channel::<()>();
    let sent = Mutex::new(false);
    let exchange = async {
        *sent.lock().unwrap() = true;
        Ok(())
    };
    let waiting = setup.breaker.carry("waiting", turn.map(|_| Ok(())), exchange);
    tokio::pin!(waiting);
    assert!(poll!(waiting.as_mut()).is_pending());
    setup.down().await;
    give.send(()).unwrap();
    assert!(waiting.await.is_err());
    assert!(!*sent.lock().unwrap());
}

#[tokio::test]
async fn one_question_that_always_fails_is_nobody_elses_problem() {
    for does in [Does::Fails(0), Does::Hangs] {
        let setup = setup();
        // At first nobody can know: each of them may open it once.
        for question in ["odd", "strange"] {
            setup.ask(question, does).await;
            setup.pass(1);
            assert!(setup.is_sent("other", Does::Answers).await, "{does:?}");
        }
        for _ in 0..3 {
            setup.pass(30);
            for question in ["odd", "strange", "odd", "strange"] {
                assert!(setup.is_sent(question, does).await, "{does:?}");
            }
            assert!(setup.breaker.is_well());
            assert!(setup.is_sent("other", Does::Answers).await, "{does:?}");
        }
        // Nor does it hold up the others while it hangs.
        let odd = setup.hanging("odd");
        tokio::pin!(odd);
        assert!(poll!(odd.as_mut()).is_pending());
        setup.pass(10);
        assert!(setup.is_sent("other", Does::Answers).await, "{does:?}");
        setup.pass(10);
        assert!(odd.await.is_err());
        // Once it succeeds, it counts again.
        assert!(setup.is_sent("odd", Does::Answers).await);
        assert!(setup.is_sent("odd", Does::Fails(5)).await);
        assert!(!setup.is_sent("other", Does::Answers).await);
    }
}

#[tokio::test]
async fn an_odd_probe_does_not_take_the_place_of_others() {
    let setup = setup();
    setup.ask("odd", Does::Fails(0)).await;
    setup.ask("other", Does::Answers).await;
    setup.down().await;
    setup.pass(1);
    assert!(setup.is_sent("odd", Does::Fails(0)).await);
    assert!(!setup.is_sent("odd", Does::Answers).await);
    assert!(setup.is_sent("other", Does::Answers).await);
    assert!(setup.is_sent("odd", Does::Answers).await);
}

#[tokio::test]
async fn what_was_under_way_when_it_opened_does_not_lengthen_the_pause() {
    let setup = setup();
    let slow: Vec<_> = ["a", "b", "c"].map(|question| Box::pin(setup.hanging(question))).into();
    let mut all = futures_util::future::join_all(slow);
    assert!(poll!(&mut all).is_pending());
    setup.pass(12);
    assert!(all.await.iter().all(Result::is_err));
    setup.pass(1);
    assert!(setup.is_sent("probe", Does::Answers).await);
}

#[tokio::test]
async fn it_is_well_while_nothing_speaks_against_it() {
    let setup = setup();
    assert!(setup.breaker.is_well());
    setup.ask("first", Does::Fails(0)).await;
    assert!(!setup.breaker.is_well());
    setup.ask("second", Does::Says(Kind::NotFound)).await;
    assert!(setup.breaker.is_well());
    let hanging = setup.hanging("third");
    tokio::pin!(hanging);
    assert!(poll!(hanging.as_mut()).is_pending());
    setup.pass(9);
    assert!(!setup.breaker.is_well());
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let setup = setup();
    for question in 0..3 * REMEMBERED {
        let failing = ready(Err::<(), _>(error(Kind::Unavailable, "it is down")));
        setup.breaker.carry(question, no_wait(), failing).await.unwrap_err();
        setup.ask("other", Does::Answers).await;
        setup.pass(1);
    }
    assert!(setup.breaker.change(|state| state.failed.len()) <= REMEMBERED);
}

#[tokio::test]
async fn what_is_fetched_ahead_takes_no_probe_from_a_question() {
    let setup = setup();
    setup.down().await;
    setup.pass(1);
    let ahead = urgency::ahead(setup.hanging("ahead"));
    tokio::pin!(ahead);
    assert!(poll!(ahead.as_mut()).is_pending());
    // Others of its kind wait for its outcome, and hear something that is no question's business.
    let (sent, outcome) = urgency::ahead(setup.ask("another", Does::Answers)).await;
    assert!(!sent && outcome.unwrap().only_ahead);
    // It failed; a question is as free to find out as it was before.
    setup.pass(3);
    assert_eq!(ahead.await.unwrap_err().kind, Kind::Unavailable);
    assert!(setup.is_sent("question", Does::Fails(0)).await);
    // The first to find out may be either.
    setup.pass(15);
    assert!(urgency::ahead(setup.is_sent("ahead", Does::Answers)).await);
    assert!(setup.is_sent("question", Does::Answers).await);
}

#[tokio::test]
async fn what_is_fetched_ahead_may_take_long() {
    let setup = setup();
    assert!(urgency::ahead(setup.is_sent("heavy", Does::Fails(10))).await);
    assert!(setup.is_sent("question", Does::Answers).await);
    let heavy = urgency::ahead(setup.hanging("heavy"));
    tokio::pin!(heavy);
    assert!(poll!(heavy.as_mut()).is_pending());
    setup.pass(9);
    assert!(setup.is_sent("question", Does::Answers).await);
    // Two failures in a row are an outage, whoever met them.
    let setup = self::setup();
    for question in ["one", "two"] {
        assert!(urgency::ahead(setup.is_sent(question, Does::Fails(10))).await);
    }
    assert!(!setup.is_sent("question", Does::Answers).await);
}
