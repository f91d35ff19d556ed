//! Checks the names of the models' examples: the model's name and a number.

use crate::tree::{ROOT, models, sources_below};

/// Returns the names of a model's examples, without `.rs`.
fn examples(model: &str) -> Vec<String> {
    let folder = format!("{model}/examples/");
    let files = sources_below(model);
    let names = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(&folder)?.strip_suffix(".rs"));
    // A folder holds code that several examples share.
    names
        .filter(|name| !name.contains('/'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_example_is_named_after_its_model_and_numbered() {
    for model in models() {
        let examples = examples(model);
        assert!(!examples.is_empty(), "{model} has no examples");
        for name in examples {
            let number = name
                .strip_prefix(&format!("{model}_"))
                .and_then(|rest| rest.split_once('_'));
            let is_numbered =
                number.is_some_and(|(number, _)| number.len() == 2 && number.parse::<u8>().is_ok());
            assert!(is_numbered, "{name} is not called {model}_NN_…");
        }
    }
}

#[test]
fn the_readme_lists_every_example() {
    let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).expect("README.md");
    for name in models().into_iter().flat_map(examples) {
        assert!(
            readme.contains(&format!("`{name}`")),
            "README.md does not list the example {name}"
        );
    }
}
