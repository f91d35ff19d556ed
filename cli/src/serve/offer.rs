//! What a server of the command offers: its service, read from files or resolved, and its model.

use std::ops::Deref;
use std::path::Path;

use poetry::{LibraryService, Limits, Model, PoemService, ProxyService, Service, TransformService};

use crate::args::{LibraryArgs, PoemArgs, ProxyArgs, ServeCommand, ServerArgs, TransformArgs};
use crate::failure::{Failure, without_number};
use crate::poem_directory::PoemDirectory;
use crate::poem_file;
use crate::resolve;
use crate::words::counted;

/// The model of a server.
pub(crate) enum Chosen {
    Listed(&'static dyn Model),
    /// The blocking model with `--pool`.
    Pooled(Box<dyn Model>),
}

impl Chosen {
    /// Returns the model that the options select, with `--pool` if that option is set and the model supports it.
    pub(crate) fn by(args: &ServerArgs) -> Result<Self, Failure> {
        let listed = args.model.model;
        let Some(size) = args.pool else {
            return Ok(Self::Listed(listed));
        };
        let pooled = models::pooled(size);
        let (name, selected) = (pooled.name(), listed.name());
        if selected != name {
            return Err(Failure::new(format_args!(
                "--pool {size} is not for --model {selected}; add --model {name}, or leave --pool out"
            )));
        }
        Ok(Self::Pooled(pooled))
    }
}

impl Deref for Chosen {
    type Target = dyn Model;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Listed(model) => *model,
            Self::Pooled(model) => &**model,
        }
    }
}

/// What a server offers.
pub(crate) struct Offer {
    /// As the `Serving` line names it.
    pub(crate) name: Vec<u8>,
    pub(crate) service: Service,
    /// What SIGHUP reads again.
    pub(crate) directory: Option<PoemDirectory>,
}

impl Offer {
    /// Reads or resolves what a server with the options of `command` offers within `limits`.
    pub(crate) fn of(command: &ServeCommand, limits: &Limits) -> Result<Self, Failure> {
        match command {
            ServeCommand::Poem(args) => poem(args),
            ServeCommand::Transform(args) => Ok(transforms(args)),
            ServeCommand::Library(args) => library(args, limits.frame_bytes_max),
            ServeCommand::Proxy(args) => proxy(args),
        }
    }
}

fn poem(args: &PoemArgs) -> Result<Offer, Failure> {
    let poem = poem_file::read(&args.file)?;
    let pace = args.pace();
    Ok(Offer {
        name: in_one_line(&args.file),
        service: Service::Poem(PoemService { poem, pace }),
        directory: None,
    })
}

fn transforms(args: &TransformArgs) -> Offer {
    let service = TransformService {
        keep_alive: args.keep_alive,
        lab: args.server.lab.then(models::clock),
        offload: args.offload,
    };
    Offer {
        name: b"transforms".to_vec(),
        service: Service::Transform(service),
        directory: None,
    }
}

fn library(args: &LibraryArgs, frame_bytes_max: usize) -> Result<Offer, Failure> {
    let mut name = b"library ".to_vec();
    name.extend(in_one_line(&args.directory));
    let directory = PoemDirectory::open(args.directory.clone(), frame_bytes_max)?;
    let library = directory.library();
    name.extend(format!(" ({})", counted(library.len() as u64, "poem")).into_bytes());
    Ok(Offer {
        name,
        service: Service::Library(LibraryService {
            library,
            keep_alive: args.keep_alive,
        }),
        directory: Some(directory),
    })
}

fn proxy(args: &ProxyArgs) -> Result<Offer, Failure> {
    let wait = args.upstream_bounds.connect_timeout.0;
    let upstream = resolve::wait_for_peer(&args.upstream, wait);
    if let Err(failure) = upstream.addresses() {
        let failure = without_number(&failure.to_string());
        return Err(Failure::new(format_args!(
            "cannot be a proxy of {upstream}: {failure}; give the address of a poem server, such as 10001"
        )));
    }
    Ok(Offer {
        name: format!("proxy of {upstream}").into_bytes(),
        service: Service::Proxy(ProxyService {
            upstream,
            ttl: args.cache_ttl.map(|ttl| ttl.0),
        }),
        directory: None,
    })
}

/// Returns `path` as it was given, but for newlines, which would end the `Serving` line.
fn in_one_line(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes
        .map(|&byte| if byte == b'\n' { b'?' } else { byte })
        .collect()
}
