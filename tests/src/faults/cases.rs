//! All fault cases. Each file covers one kind of fault; each case is a function whose name states what the program does.

mod bad_network;
mod bursts;
mod descriptors;
mod devices;
mod floods;
mod half_close;
mod interrupted;
mod kills;
mod lengths;
mod library_fails;
mod output_fails;
mod panics;
mod poem_server_fails;
mod readers;
mod reload;
mod resets;
mod silent;
mod stops;
mod streams;
mod threads_exhausted;
mod transform_server_fails;
mod trickles;
mod upstream_fails;

use super::FaultCase;
use super::page::sorted;

/// Every case, in the order of the page.
pub fn all() -> Vec<FaultCase> {
    let cases = [
        descriptors::cases(),
        threads_exhausted::cases(),
        readers::cases(),
        trickles::cases(),
        silent::cases(),
        devices::cases(),
        half_close::cases(),
        resets::cases(),
        bursts::cases(),
        floods::cases(),
        lengths::cases(),
        panics::cases(),
        stops::cases(),
        interrupted::cases(),
        kills::cases(),
        streams::cases(),
        reload::cases(),
        bad_network::cases(),
        upstream_fails::cases(),
        poem_server_fails::cases(),
        transform_server_fails::cases(),
        library_fails::cases(),
        output_fails::cases(),
    ];
    sorted(cases.concat())
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
}
