//! All fault cases. Each file covers one kind of fault; each case is a function whose name states what the program does.

mod descriptors;
mod readers;

use super::FaultCase;
use super::page::sorted;

/// Every case, in the order of the page.
pub fn all() -> Vec<FaultCase> {
    sorted([descriptors::cases(), readers::cases()].concat())
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
