//! `quatrain generate`: manual pages and completions.

use std::fs;
use std::process::Command;

use super::support::{Folder, run};

/// Completes the last of `words` by the generated script, in a real bash.
fn completed(script: &str, words: &[&str]) -> Vec<String> {
    let offers = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  _quatrain quatrain \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", offers, "bash", script]);
    let output = bash.args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let offers = String::from_utf8(output.stdout).unwrap();
    offers.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_subcommand_has_a_manual_page_and_hidden_ones_have_none() {
    let folder = Folder::with(&[]);
    let generated = run(&["generate", &folder.path("share")]);
    assert_eq!((generated.status, generated.stderr.as_str()), (Some(0), ""));
    let help = run(&["--help"]).stdout;
    let listed = help.split("Commands:\n").nth(1).unwrap();
    let listed = listed.lines().take_while(|line| line.starts_with("  "));
    let names: Vec<&str> = listed
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.contains(&"serve") && names.contains(&"generate"));
    for name in names {
        let page = folder.path(&format!("share/man/man1/quatrain-{name}.1"));
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains(".SH OPTIONS"), "{name}");
        assert!(generated.stdout.contains(&format!("{page}\n")), "{name}");
    }
    let nested = folder.path("share/man/man1/quatrain-serve-poem.1");
    let nested = fs::read_to_string(nested).unwrap();
    assert!(nested.contains("Serve one poem") && nested.contains(".SH EXAMPLES"));
    for hidden in ["floor", "bare"] {
        let page = folder.path(&format!("share/man/man1/quatrain-{hidden}.1"));
        assert!(fs::read_to_string(page).is_err(), "{hidden}");
    }
}

#[test]
fn bash_completes_subcommands_options_and_values_and_offers_nothing_hidden() {
    let folder = Folder::with(&[]);
    assert_eq!(run(&["generate", &folder.path("")]).status, Some(0));
    let script = folder.path("bash-completion/completions/quatrain");
    assert_eq!(completed(&script, &["quatrain", "ser"]), ["serve"]);
    assert_eq!(
        completed(&script, &["quatrain", "serve", "poem", "--num"]),
        ["--num-bytes"]
    );
    assert_eq!(
        completed(&script, &["quatrain", "fetch", "--model", "st"]),
        ["streams"]
    );
    let all = completed(&script, &["quatrain", ""]);
    assert!(all.contains(&"compare".to_owned()), "{all:?}");
    for (shell, path) in [
        ("bash", "bash-completion/completions/quatrain"),
        ("zsh", "zsh/site-functions/_quatrain"),
        ("fish", "fish/vendor_completions.d/quatrain.fish"),
    ] {
        let script = fs::read_to_string(folder.path(path)).unwrap();
        assert!(script.contains("num-bytes"), "{shell}");
        assert!(!script.contains("floor"), "{shell} offers what is hidden");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::with(&[]);
    let file = folder.path("file");
    fs::write(&file, "").unwrap();
    let failed = run(&["generate", &file]);
    assert_eq!((failed.status, failed.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        failed.only_line(),
        format!(
            "quatrain: cannot write {file}/man/man1/quatrain.1: Not a directory; name a folder that is yours"
        )
    );
}
