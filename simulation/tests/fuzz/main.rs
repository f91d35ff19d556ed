//! Random inputs for the decoder of netstrings and for the services that answer its frames. Each input is fed whole, in random
//! pieces, in turns and byte by byte, and compared with a second implementation (`simulation::wire`).
//!
//! The inputs come from a seeded generator of our own. It needs no nightly compiler, and bolero without
//! instrumentation is such a generator too; that it is quicker than proptest is expected and was not measured. A failed input is
//! made shorter before it is shown.
//!
//! ```sh
//! cargo test -p quatrain-simulation --test fuzz                      # 100,000 inputs
//! QUATRAIN_INPUTS=100_000_000 QUATRAIN_SEED=7 cargo test --release -p quatrain-simulation --test fuzz -- --nocapture
//! ```

mod check;
mod inputs;

use std::time::Instant;

use check::Checker;
use inputs::Input;

/// Inputs of a usual run: two seconds without optimisation.
const INPUTS: u64 = 100_000;

#[test]
fn s2_s3_s4_s8_any_input_in_any_pieces_is_read_as_the_rules_say() {
    poetry::panics::silence_contained();
    let first = simulation::seed::from_environment();
    let inputs = simulation::seed::number("QUATRAIN_INPUTS").unwrap_or(INPUTS);
    let (mut checker, mut input) = (Checker::default(), Input::default());
    let began = Instant::now();
    for seed in (0..inputs).map(|index| first.wrapping_add(index)) {
        input.generate(&mut fastrand::Rng::with_seed(seed));
        if checker.check(&input).is_err() {
            fail(&mut checker, input, seed);
        }
    }
    let seen = &checker.seen;
    println!(
        "{inputs} inputs from seed {first} in {:.1?}: {seen:?}",
        began.elapsed()
    );
    // Otherwise the generator misses what it is for.
    let rarest = (seen.frames / 10).min(seen.rarest());
    assert!(
        rarest >= inputs / 2_000,
        "too few of some kind of input: {seen:?}"
    );
}

/// Makes the input shorter as long as it fails, and shows it.
fn fail(checker: &mut Checker, input: Input, seed: u64) -> ! {
    let input = inputs::shortened(input, |shorter| checker.check(shorter).is_err());
    let why = checker.check(&input).expect_err("the input still fails");
    panic!(
        "{why}\n{input}\nTo replay: QUATRAIN_SEED={seed} QUATRAIN_INPUTS=1 cargo test -p quatrain-simulation --test fuzz"
    );
}

#[test]
fn a_seed_gives_the_same_input_again() {
    let generated = |seed| {
        let mut input = Input::default();
        input.generate(&mut fastrand::Rng::with_seed(seed));
        input
    };
    for seed in 0..1_000 {
        assert_eq!(generated(seed), generated(seed));
    }
    assert_ne!(generated(1), generated(2));
}

#[test]
fn a_failed_input_is_shortened_to_what_fails() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut input = Input::default();
    while input.wire.windows(2).filter(|two| *two == b"0:").count() < 2 {
        input.generate(&mut rng);
    }
    let fails = |input: &Input| input.wire.windows(2).any(|two| two == b"0:");
    let shortened = inputs::shortened(input, fails);
    assert_eq!((&shortened.wire[..], shortened.cuts.len()), (&b"0:"[..], 0));
}
