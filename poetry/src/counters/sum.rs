//! Adding up the counts of several servers.

use std::ops::AddAssign;

use super::{Closed, Counts, Fetches, Refused};

/// Adds every field; a field that is added to the type has to be added here.
macro_rules! add_fields {
    ($type:ident: $($field:ident)*) => {
        impl AddAssign for $type {
            fn add_assign(&mut self, other: Self) {
                let $type { $($field),* } = other;
                $(self.$field += $field;)*
            }
        }
    };
}

add_fields!(Counts: accepted open closed requests answered refused failed in_flight bytes_in bytes_out fetches);
add_fields!(Closed: done refused reset idle deadline write cut panic left upstream);
add_fields!(Refused: no_dot unknown_transform not_utf8 transform_failed reply_too_long framing truncated unknown_poem bad_poem_name);
add_fields!(Fetches: begun cached failed cancelled under_way);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s23_the_sum_of_counts_adds_up_too() {
        let one = Counts {
            accepted: 3,
            open: 1,
            closed: Closed {
                done: 2,
                ..Closed::default()
            },
            requests: 2,
            answered: 1,
            refused: Refused {
                framing: 1,
                ..Refused::default()
            },
            ..Counts::default()
        };
        let mut sum = one.clone();
        sum += one;
        assert_eq!(sum.check(), Ok(()));
        assert_eq!((sum.accepted, sum.open, sum.closed.done), (6, 2, 4));
        assert_eq!((sum.answered, sum.refused.framing), (2, 2));
    }
}
