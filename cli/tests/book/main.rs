//! The book: every part has what it promises, every link, passage and figure exists, and every lab does what its chapter says.

#[allow(dead_code)] // Not every helper is needed here.
#[path = "../command/support.rs"]
mod support;

mod chapters;
mod figures;
mod flawed;
mod labs;
mod links;
mod parts;
mod passages;

use libtest_mimic::{Arguments, Failed, Trial};

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns what is wrong.
type Check = fn(&[chapters::Chapter]) -> Vec<String>;

fn main() {
    let arguments = Arguments::from_args();
    let chapters = chapters::all();
    let mut trials = Vec::new();
    let checks: [(&str, Check); 8] = [
        ("the_summary_has_every_chapter", links::missing_in_summary),
        ("every_link_leads_somewhere", links::dead),
        ("every_figure_is_drawn_and_shown", figures::unused),
        ("every_passage_exists_and_is_short", passages::wrong),
        ("every_exercise_names_its_test", passages::missing_solutions),
        ("every_part_is_complete", parts::incomplete),
        ("every_model_has_its_ladder", parts::missing_ladders),
        ("every_difference_is_told_in_one_part", parts::differences),
    ];
    for (name, check) in checks {
        let chapters = chapters.clone();
        trials.push(Trial::test(name, move || found_none(&check(&chapters))));
    }
    for (name, test) in flawed::TESTS {
        trials.push(Trial::test(name, test));
    }
    for figure in figures::all() {
        let name = format!("figures::{}", figure.name);
        trials.push(Trial::test(name, move || figures::compare(&figure)));
    }
    for lab in chapters.iter().flat_map(labs::of) {
        let name = lab.name.clone();
        trials.push(Trial::test(name, move || labs::run(&lab)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn found_none(wrong: &[String]) -> Result<(), Failed> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("\n").into())
}
