//! All fault cases. Each file covers one kind of fault; each case is a function whose name states what the program does.

mod bursts;
mod descriptors;
mod floods;
mod half_close;
mod kills;
mod lengths;
mod panics;
mod readers;
mod reload;
mod resets;
mod silent;
mod stops;
mod streams;
mod trickles;

use super::FaultCase;
use super::page::sorted;

/// Every case, in the order of the page.
pub fn all() -> Vec<FaultCase> {
    let cases = [
        descriptors::cases(),
        readers::cases(),
        trickles::cases(),
        silent::cases(),
        half_close::cases(),
        resets::cases(),
        bursts::cases(),
        floods::cases(),
        lengths::cases(),
        panics::cases(),
        stops::cases(),
        kills::cases(),
        streams::cases(),
        reload::cases(),
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
