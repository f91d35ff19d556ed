//! The subject that the arguments describe, started once to see that it can be tested.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use conformance::subject::{Address, Command};
use conformance::{Role, Subject, check};
use poetry::limits::{CONNECT_TIMEOUT, FRAME_BYTES_MAX};

use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::poem_directory::PoemDirectory;
use crate::{poem_file, resolve};

/// Returns the subject, which can be started or accepts connections.
pub(super) fn of(args: &CheckArgs) -> Result<Arc<Subject>, Failure> {
    let subject = Arc::new(match (&args.address, args.command.is_empty()) {
        (Some(address), _) => running(args, address)?,
        (None, false) => command(args)?,
        (None, true) => {
            return Err(Failure::new(
                "cannot check: give the address of a server, or after -- the command that starts one; \
                 see 'quatrain check --help'",
            ));
        }
    });
    match check::try_start(&subject, args.program.role()) {
        Ok(()) => Ok(subject),
        Err(failure) if args.address.is_some() => {
            let hint = "start the server first, or give its command after --";
            Err(cannot_check(args, format_args!("{failure}; {hint}")))
        }
        Err(failure) => Err(cannot_check(args, failure)),
    }
}

/// Returns what is checked as the user wrote it: the address, or the program.
pub(super) fn name(args: &CheckArgs) -> String {
    match &args.address {
        Some(address) => address.to_string(),
        None => args.command.first().cloned().unwrap_or_default(),
    }
}

fn cannot_check(args: &CheckArgs, why: impl fmt::Display) -> Failure {
    Failure::new(format_args!("cannot check {}: {why}", name(args)))
}

fn command(args: &CheckArgs) -> Result<Subject, Failure> {
    let command = Command::from_words(&name(args), args.command.clone());
    match command.problem(args.program.role()) {
        Some(problem) => Err(cannot_check(args, problem)),
        None => Ok(Subject::Command(command)),
    }
}

/// Describes the server at `address` by the options, each of which must be about its role.
fn running(args: &CheckArgs, address: &crate::args::Address) -> Result<Subject, Failure> {
    let role = args.program.role();
    let is_framed = matches!(role, Role::TransformServer | Role::LibraryServer);
    let foreign = [
        ("--poem", args.poem.is_some() && is_framed),
        (
            "--library",
            args.library.is_some() && role != Role::LibraryServer,
        ),
        ("--keep-alive", args.keep_alive && !is_framed),
    ];
    if let Some((option, _)) = foreign.iter().find(|(_, given)| *given) {
        let program = args.program.name();
        return Err(Failure::new(format_args!(
            "{option} is not about a {program}; leave it out"
        )));
    }
    let resolved =
        resolve::first(address, CONNECT_TIMEOUT).map_err(|cause| cannot_check(args, cause))?;
    let mut server = Address::new(resolved, role);
    if let Some(path) = &args.poem {
        server = server.serving(poem_file::read(path)?);
    }
    if let Some(path) = &args.library {
        server = server.with_library(library(path.clone())?);
    }
    if args.keep_alive {
        server = server.keeping_alive();
    }
    Ok(Subject::Address(server))
}

fn library(path: PathBuf) -> Result<poetry::Library, Failure> {
    Ok(PoemDirectory::open(path, FRAME_BYTES_MAX)?.library())
}
