//! Child processes and the runner that measures them. The subjects are this program itself, in the roles of `child`.

mod child;
mod instructions;
mod process;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(child::MARK) {
        let role: Vec<String> = args.collect();
        return child::main(&role.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let tests = [process::TESTS, instructions::TESTS].concat().into_iter();
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
