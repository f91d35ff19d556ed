//! Child processes and the runner that measures them. The subjects are this program in the roles of `child`.

mod child;
mod instructions;
mod process;
mod runner;
mod scenarios;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(child::MARK) {
        let role: Vec<String> = args.collect();
        return child::main(&role.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let everywhere = [
        process::TESTS,
        instructions::TESTS,
        runner::TESTS,
        scenarios::TESTS,
    ]
    .concat();
    let trials = everywhere.into_iter().map(trial).chain(
        instructions::OPTIMISED
            .iter()
            .copied()
            .map(|test| trial(test).with_ignored_flag(cfg!(debug_assertions))),
    );
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn trial((name, test): (&'static str, fn())) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
