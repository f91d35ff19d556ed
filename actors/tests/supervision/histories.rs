//! Random histories of a supervisor's children, with several events at one instant and during restarts, compared with the
//! independent implementation in [`otp`](crate::otp) (O5).

use std::time::Duration;

use actors::{Intensity, Reason, Restart, Strategy};
use proptest::prelude::*;
use proptest::strategy::Strategy as Some;

use crate::otp::Otp;
use crate::supervised::{Act, SECOND, Supervised};

/// Half seconds that pass, and then the events of one instant.
type Instant = (u32, Vec<Act>);

fn restarts() -> impl Some<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ]
}

fn strategies() -> impl Some<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne)
    ]
}

fn reasons() -> impl Some<Value = Reason> {
    prop_oneof![
        Just(Reason::Normal),
        Just(Reason::Shutdown),
        Just(Reason::shutdown_with("the page is full")),
        Just(Reason::Killed),
        Just(Reason::crash("a false rhyme"))
    ]
}

fn acts() -> impl Some<Value = Act> {
    let child = 0_u64..5;
    prop_oneof![
        8 => (child.clone(), reasons()).prop_map(|(child, reason)| Act::End(child, reason)),
        4 => (child.clone(), reasons()).prop_map(|(child, reason)| Act::Exit(child, reason)),
        2 => child.clone().prop_map(Act::Kill),
        3 => (child, 1_usize..3).prop_map(|(child, starts)| Act::Refuse(child, starts)),
        1 => reasons().prop_map(Act::Stop),
    ]
}

fn instants() -> impl Some<Value = Instant> {
    // The stop comes last, so that all children are woken before the supervisor stops them.
    let acts = prop::collection::vec(acts(), 1..5).prop_map(|mut acts| {
        acts.sort_by_key(|act| act.wakes().is_none());
        acts
    });
    (0_u32..6, acts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn o5_random_histories_of_exits_end_as_in_otp(
        strategy in strategies(),
        restarts_max in 0_usize..6,
        children in prop::collection::vec((restarts(), prop::bool::weighted(0.3)), 1..5),
        history in prop::collection::vec(instants(), 1..12),
    ) {
        let intensity = Intensity { restarts: restarts_max, period: 5 * SECOND };
        let supervised = Supervised::new(strategy, intensity, &children);
        let mut otp = Otp::new(strategy, intensity, &children);
        for (halves, acts) in history {
            let wait = halves * SECOND / 2;
            supervised.clock().advance(wait);
            otp.advance(wait);
            supervised.at_once(acts.clone());
            otp.at_once(&acts);
        }
        // Long enough for every child to stop.
        supervised.clock().advance(Duration::from_secs(60));
        otp.advance(Duration::from_secs(60));
        prop_assert_eq!(supervised.notes(), otp.notes);
        prop_assert_eq!(supervised.ended(), otp.ended);
    }
}
