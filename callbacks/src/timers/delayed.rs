//! Lists the calls that wait, for a person to read.

use std::time::Duration;

use super::{Call, Clock};

/// A call that waits, as [`Clock::delayed_calls`] lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delayed {
    /// When it is due, on the clock that it was made with.
    pub due: Duration,
    /// The path of the function that made it.
    pub what: &'static str,
}

impl Clock {
    /// Returns the first `max` calls that wait, in the order in which they will run: Twisted's `getDelayedCalls`. It looks at all
    /// of them.
    ///
    /// ```
    /// use callbacks::Clock;
    /// use std::time::Duration;
    ///
    /// fn remind(clock: &Clock) {
    ///     clock.call_later(Duration::from_secs(2), || println!("It is time."));
    /// }
    ///
    /// let clock = Clock::new();
    /// remind(&clock);
    /// let calls = clock.delayed_calls(10);
    /// assert_eq!(calls[0].due, Duration::from_secs(2));
    /// assert!(calls[0].what.ends_with("remind"));
    /// ```
    pub fn delayed_calls(&self, max: usize) -> Vec<Delayed> {
        let timers = self.timers.borrow();
        let mut calls: Vec<&Call> = timers.calls.iter().map(|(_, call)| call).collect();
        calls.sort_unstable_by_key(|call| (call.due, call.made));
        let delayed = |call: &Call| Delayed {
            due: call.due,
            what: function(call.what),
        };
        calls.into_iter().take(max).map(delayed).collect()
    }
}

/// Returns the function that the closure of type `name` is in.
fn function(mut name: &'static str) -> &'static str {
    while let Some(outer) = name.strip_suffix("::{{closure}}") {
        name = outer;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn r1_r2_calls_are_listed_in_the_order_in_which_they_run() {
        let clock = Clock::new();
        let calls = [3, 1, 2, 1].map(|seconds| clock.call_later(SECOND * seconds, || ()));
        calls[1].reset(SECOND * 4).unwrap();
        calls[2].cancel().unwrap();
        let listed = clock.delayed_calls(10);
        let due: Vec<u64> = listed.iter().map(|call| call.due.as_secs()).collect();
        assert_eq!(due, [1, 3, 4]);
        assert!(
            listed[0]
                .what
                .ends_with("r1_r2_calls_are_listed_in_the_order_in_which_they_run")
        );
        assert_eq!(clock.delayed_calls(2), listed[..2]);
        clock.advance(SECOND);
        assert_eq!(clock.delayed_calls(10), listed[1..]);
    }
}
