//! `quatrain generate`: manual pages and shell completions, from the same definition as the help.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::{Cli, GenerateArgs};
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::output;
use crate::words::shown;

/// The command's name.
const NAME: &str = "quatrain";

/// The section of the manual for commands.
const PAGES: &str = "man/man1";

/// The shells, and where each looks for the completion of `quatrain` below `/usr/share`.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/quatrain"),
    (Shell::Zsh, "zsh/site-functions/_quatrain"),
    (Shell::Fish, "fish/vendor_completions.d/quatrain.fish"),
];

/// Writes all files, and prints their paths.
pub(crate) fn run(args: &GenerateArgs, stderr: &LineWriter) -> Ended {
    let mut written = String::new();
    for (file, text) in files()? {
        let path = args.folder.join(file);
        write(&path, &text)?;
        written += &format!("{}\n", shown(&path));
    }
    Ok(output::last_text(&written, Status::Success, stderr))
}

/// Returns the files by their paths below the folder.
fn files() -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
    let mut files = Vec::new();
    let mut command = Cli::command();
    command.build();
    pages(&command, &mut files)
        .map_err(|error| Failure::trouble(format_args!("cannot write a page: {error}")))?;
    for (shell, path) in COMPLETIONS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut without_hidden(&Cli::command()), NAME, &mut text);
        files.push((path.into(), text));
    }
    Ok(files)
}

/// Returns what completions need of `command`. They would offer its hidden subcommands, too, and clap cannot remove those.
fn without_hidden(command: &Command) -> Command {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    Command::new(NAME)
        .version(env!("QUATRAIN_VERSION"))
        .args(command.get_arguments())
        .subcommands(shown)
}

/// Adds the pages of `command` and of its subcommands.
fn pages(command: &Command, files: &mut Vec<(PathBuf, Vec<u8>)>) -> io::Result<()> {
    let man = Man::new(command.clone())
        .source(concat!("quatrain ", env!("QUATRAIN_VERSION")))
        .manual("Manual of quatrain");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(details) = command.get_after_help() {
        page.extend(details_section(&details.to_string()).as_bytes());
    }
    files.push((Path::new(PAGES).join(man.get_filename()), page));
    let subcommands = command.get_subcommands();
    for sub in subcommands.filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        pages(sub, files)?;
    }
    Ok(())
}

/// Sets the text after the help in roff. clap would fill its examples, which are columns.
fn details_section(details: &str) -> String {
    let mut section = String::new();
    let mut in_columns = false;
    for line in details.lines() {
        let columns = line.starts_with(' ');
        if columns != in_columns {
            section += if columns { ".nf\n" } else { ".fi\n" };
            in_columns = columns;
        }
        if line == "Examples:" {
            section += ".SH EXAMPLES\n";
        } else if let Some(statuses) = line.strip_prefix("Exit status: ") {
            section += &format!(".SH \"EXIT STATUS\"\n{}\n", roff(statuses));
        } else if line.is_empty() {
            section += ".PP\n";
        } else {
            section += &format!("{}\n", roff(line));
        }
    }
    if in_columns {
        section += ".fi\n";
    }
    section
}

/// Escapes a line for roff: its escape character, dashes that are to stay dashes, and what would be a request at the start.
fn roff(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line,
    }
}

/// # Errors
/// The path and the system's words (status 1).
fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, text));
    written.map_err(|error| {
        let (shown, cause) = (shown(path), cause(&error));
        Failure::trouble(format_args!(
            "cannot write {shown}: {cause}; name a folder that is yours"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_columns_and_nothing_in_them_is_a_request_of_roff() {
        let details = "Examples:\n  quatrain x --y     all\n\n'a\\b'\nExit status: 0 success";
        let expected = ".SH EXAMPLES\n.nf\n  quatrain x \\-\\-y     all\n.fi\n.PP\n\\&'a\\eb'\n\
                        .SH \"EXIT STATUS\"\n0 success\n";
        assert_eq!(details_section(details), expected);
    }
}
