//! Clients that share a fetch, leave it in every order, and meet its end, without sockets.

use super::*;

const NOW: Duration = Duration::ZERO;

fn cache(ttl: Option<Duration>) -> Cache {
    let upstream = "10001".parse().unwrap();
    Cache::new(ProxyService { upstream, ttl })
}

fn join(cache: &Cache) -> Place<'_> {
    match cache.find(NOW) {
        Found::Waiting(place) => place,
        Found::Cached(poem) => panic!("{poem:?} is cached"),
    }
}

fn is_cached(cache: &Cache, now: Duration) -> bool {
    matches!(cache.find(now), Found::Cached(_))
}

fn poem(text: &str) -> Option<Poem> {
    Some(text.into())
}

/// Returns the fetch that is wanted. Waits for ever if there is none, so only a broken cache does not return.
fn next_wanted(cache: &Cache) -> Wanted {
    cache.next_wanted().unwrap()
}

fn wants_another(cache: &Cache) -> bool {
    let state = cache.state();
    state.fetch.as_ref().is_some_and(|fetch| !fetch.under_way)
}

const ARRIVED: fn() -> Option<Outcome> = || Some(Outcome::Arrived("Ahoy".into()));

#[test]
fn s9_clients_that_miss_share_one_fetch_and_its_poem() {
    let cache = cache(None);
    let early = [join(&cache), join(&cache)];
    let wanted = next_wanted(&cache);
    let late = join(&cache);
    assert!(!wants_another(&cache));
    assert_eq!(late.seat().outcome(), None);
    cache.end(&wanted, poem("Ahoy"), NOW);
    for place in early.iter().chain([&late]) {
        assert_eq!(place.seat().outcome(), ARRIVED());
    }
    assert!(is_cached(&cache, Duration::MAX));
}

#[test]
fn s9_only_the_last_client_to_leave_cancels_the_fetch_in_whatever_order_they_leave() {
    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in ORDERS {
        let cache = cache(None);
        let mut places = [(); 3].map(|()| Some(join(&cache)));
        let wanted = next_wanted(&cache);
        for leaves in order {
            assert!(!wanted.cancel.is_all());
            places[leaves] = None;
        }
        assert!(wanted.cancel.is_all(), "{order:?}");
        assert!(!wants_another(&cache));
    }
}

#[test]
fn s9_a_client_that_joins_before_the_last_one_leaves_keeps_the_fetch() {
    let cache = cache(None);
    let first = join(&cache);
    let wanted = next_wanted(&cache);
    let second = join(&cache);
    drop(first);
    assert!(!wanted.cancel.is_all());
    cache.end(&wanted, poem("Ahoy"), NOW);
    assert_eq!(second.seat().outcome(), ARRIVED());
}

#[test]
fn s9_a_client_that_joins_after_the_last_one_has_left_wants_another_fetch() {
    let cache = cache(None);
    drop(join(&cache));
    assert!(!wants_another(&cache)); // It had not begun.
    let first = join(&cache);
    let cancelled = next_wanted(&cache);
    drop(first);
    let second = join(&cache);
    assert!(cancelled.cancel.is_all() && wants_another(&cache));
    // The cancelled fetch ends, with nothing, while another one is wanted.
    cache.end(&cancelled, None, NOW);
    assert_eq!(second.seat().outcome(), None);
    let wanted = next_wanted(&cache);
    assert!(!wanted.cancel.is_all());
    cache.end(&wanted, poem("Ahoy"), NOW);
    assert_eq!(second.seat().outcome(), ARRIVED());
}

#[test]
fn s9_a_poem_that_arrived_just_before_the_cancel_is_kept() {
    let cache = cache(None);
    let first = join(&cache);
    let cancelled = next_wanted(&cache);
    drop(first);
    cache.end(&cancelled, poem("Ahoy"), NOW);
    assert!(is_cached(&cache, NOW));
}

#[test]
fn s9_a_poem_that_arrived_just_before_the_cancel_is_for_those_who_want_the_next_fetch() {
    let cache = cache(Some(NOW));
    let first = join(&cache);
    let cancelled = next_wanted(&cache);
    drop(first);
    let second = join(&cache);
    cache.end(&cancelled, poem("Ahoy"), NOW);
    assert_eq!(second.seat().outcome(), ARRIVED());
    assert!(!wants_another(&cache));
    // It has left that fetch, and so leaves none of a later client.
    let third = join(&cache);
    drop(second);
    assert!(wants_another(&cache));
    drop(third);
}

#[test]
fn s9_a_failed_fetch_tells_all_its_clients_and_the_next_client_wants_another() {
    let cache = cache(None);
    let places = [(); 3].map(|()| join(&cache));
    let wanted = next_wanted(&cache);
    cache.end(&wanted, None, NOW);
    for place in &places {
        let closed = Outcome::Closed(CloseReason::Upstream);
        assert_eq!(place.seat().outcome(), Some(closed));
    }
    let next = join(&cache);
    assert!(wants_another(&cache));
    // Those that leave a fetch that has ended leave no other.
    drop(places);
    assert!(wants_another(&cache));
    drop(next);
    assert!(!wants_another(&cache));
}

#[test]
fn s9_a_poem_is_fresh_until_its_time_to_live_after_its_arrival() {
    let ms = Duration::from_millis;
    let cache = cache(Some(ms(100)));
    let place = join(&cache);
    let wanted = next_wanted(&cache);
    cache.end(&wanted, poem("Ahoy"), ms(1_000));
    assert!(is_cached(&cache, ms(1_000)) && is_cached(&cache, ms(1_099)));
    assert!(!is_cached(&cache, ms(1_100)));
    // The client that waited for it gets it, however late it looks.
    assert_eq!(place.seat().outcome(), ARRIVED());
}

#[test]
fn s9_without_time_to_live_the_clients_that_wait_get_the_poem_and_the_next_one_waits() {
    let cache = cache(Some(Duration::ZERO));
    let place = join(&cache);
    let wanted = next_wanted(&cache);
    cache.end(&wanted, poem("Ahoy"), NOW);
    assert_eq!(place.seat().outcome(), ARRIVED());
    assert!(!is_cached(&cache, NOW));
}

#[test]
fn the_first_outcome_of_a_client_counts() {
    let cache = cache(None);
    let places = [(); 2].map(|()| join(&cache));
    let wanted = next_wanted(&cache);
    let left = Outcome::Closed(CloseReason::Left);
    places[0].seat().reading_ends(CloseReason::Left);
    cache.end(&wanted, poem("Ahoy"), NOW);
    places[1].seat().reading_ends(CloseReason::Reset);
    assert_eq!(places[0].seat().outcome(), Some(left));
    assert_eq!(places[1].seat().outcome(), ARRIVED());
}

#[test]
fn t2_every_wait_has_a_way_out_also_on_poisoned_locks() {
    poetry::panics::silence_contained();
    for poisoned in [false, true] {
        let cache = cache(None);
        let place = join(&cache);
        if poisoned {
            let panics = || {
                let _state = cache.state();
                panic!("while the state is locked")
            };
            assert!(poetry::panics::contain::<()>(panics).is_err());
        }
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| place.seat().wait());
            let fetches = scope.spawn(|| {
                let wanted = cache.next_wanted().unwrap();
                cache.end(&wanted, poem("Ahoy"), NOW);
                cache.next_wanted().is_none()
            });
            assert_eq!(Some(waits.join().unwrap()), ARRIVED());
            cache.stop();
            assert!(fetches.join().unwrap());
        });
    }
}
