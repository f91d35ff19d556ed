//! All cases. Each file covers one aspect of one role; each case is a function whose name states what it checks.

mod client_cancels;
mod client_connects_to_itself;
mod client_fails;
mod client_fetches;
mod client_limits;
mod client_reports;
mod poem_served;
mod poem_under_pressure;
mod server_closes;
mod server_counts;
mod server_frames;
mod server_limits;
mod server_refuses;
mod server_replies;
mod server_stops;
mod server_survives;
mod server_turns;
mod server_waits;
mod transform_falls_back;
mod transform_requests;

use crate::case::Case;

/// Every case, file by file.
pub fn all() -> Vec<Case> {
    [
        poem_served::CASES,
        poem_under_pressure::CASES,
        client_fetches::CASES,
        client_limits::CASES,
        client_fails::CASES,
        client_connects_to_itself::CASES,
        client_cancels::CASES,
        client_reports::CASES,
        server_replies::CASES,
        server_frames::CASES,
        server_refuses::CASES,
        server_closes::CASES,
        server_limits::CASES,
        server_waits::CASES,
        server_turns::CASES,
        server_survives::CASES,
        server_stops::CASES,
        server_counts::CASES,
        transform_requests::CASES,
        transform_falls_back::CASES,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::all;

    #[test]
    fn no_two_cases_have_the_same_path() {
        let cases = all();
        let paths: BTreeSet<_> = cases.iter().map(|case| case.path()).collect();
        assert_eq!(paths.len(), cases.len());
    }

    #[test]
    fn every_case_names_a_rule() {
        for case in all() {
            assert!(!case.rules.is_empty(), "{}", case.path());
            assert!(
                case.rules.iter().all(|rule| rule.starts_with('S')),
                "{}",
                case.path()
            );
        }
    }
}
