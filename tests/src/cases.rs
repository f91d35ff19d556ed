//! All cases. Each file covers one aspect of one role; each case is a function whose name states what it checks.

mod client_cancels;
mod client_connects_to_itself;
mod client_fails;
mod client_fetches;
mod client_limits;
mod client_names;
mod client_reports;
mod client_resets;
mod library_serves;
mod poem_served;
mod poem_under_pressure;
mod poem_whole;
mod proxy_caches;
mod proxy_fails;
mod proxy_reports;
mod proxy_shares;
mod proxy_stops;
mod server_closes;
mod server_counts;
mod server_frames;
mod server_limits;
mod server_refuses;
mod server_replies;
mod server_resets;
mod server_stops;
mod server_survives;
mod server_turns;
mod server_waits;
mod transform_falls_back;
mod transform_offloads;
mod transform_panics;
mod transform_refuses;
mod transform_replies;
mod transform_requests;

use crate::case::Case;

/// Every case, file by file.
pub fn all() -> Vec<Case> {
    [
        poem_served::cases(),
        poem_under_pressure::cases(),
        poem_whole::cases(),
        client_fetches::cases(),
        client_limits::cases(),
        client_fails::cases(),
        client_connects_to_itself::cases(),
        client_names::cases(),
        client_resets::cases(),
        client_cancels::cases(),
        client_reports::cases(),
        server_replies::cases(),
        server_frames::cases(),
        server_refuses::cases(),
        server_closes::cases(),
        server_limits::cases(),
        server_waits::cases(),
        server_turns::cases(),
        server_survives::cases(),
        server_stops::cases(),
        server_resets::cases(),
        server_counts::cases(),
        library_serves::cases(),
        proxy_shares::cases(),
        proxy_caches::cases(),
        proxy_fails::cases(),
        proxy_stops::cases(),
        proxy_reports::cases(),
        transform_replies::cases(),
        transform_refuses::cases(),
        transform_panics::cases(),
        transform_offloads::cases(),
        transform_requests::cases(),
        transform_falls_back::cases(),
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
