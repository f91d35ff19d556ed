//! The subjects: the floor, the models, their bare loops, and other programs. The first three are this program.

use bare::Kind as BareKind;
use measure::Subject;
use measure::results::Kind;
use measure::subject::{Role, Template};
use poetry::Model;

use crate::args::MeasureArgs;
use crate::failure::Failure;

/// Returns all subjects, in the order of tables.
pub(super) fn all(args: &MeasureArgs) -> Result<Vec<Subject>, Failure> {
    let models = args.models();
    let is_measured = |kind: &BareKind| models.iter().any(|model| model.name() == kind.model());
    let bare = BareKind::ALL.into_iter().filter(is_measured);
    let own = [floor()]
        .into_iter()
        .chain(models.iter().map(|&other| model(other)))
        .chain(bare.map(bare_loop));
    let own: Result<Vec<Subject>, String> = own.collect();
    let mut subjects = own.map_err(|error| super::failure(&error))?;
    for other in &args.subjects {
        if subjects.iter().any(|subject| subject.name == other.name) {
            let problem = format!("--subject {0}: there is a subject {0} already", other.name);
            return Err(Failure::new(problem));
        }
        subjects.push(other.clone());
    }
    Ok(subjects)
}

fn floor() -> Result<Subject, String> {
    let server = "{quatrain} floor {mode} {parent}".parse()?;
    Ok(Subject {
        name: "floor".to_owned(),
        kind: Kind::Floor,
        baseline: None,
        server: Some((server, vec![Role::Transform])),
        // The least that a client can cost is one loop over epoll, too.
        client: Some("{quatrain} bare mio fetch {fetch}".parse()?),
    })
}

fn model(model: &dyn Model) -> Result<Subject, String> {
    let name = model.name();
    let server = format!(
        "{{quatrain}} serve {{mode}} --model {name} {{threads}} {{stats}} --log error {{parent}}"
    );
    let client = format!("{{quatrain}} fetch --model {name} --progress lines {{fetch}}");
    let baseline = BareKind::ALL.into_iter().find(|kind| kind.model() == name);
    Ok(Subject {
        name: name.to_owned(),
        kind: Kind::Model,
        baseline: baseline.map(bare_name),
        server: Some((server.parse()?, Role::ALL.to_vec())),
        client: Some(client.parse()?),
    })
}

fn bare_loop(kind: BareKind) -> Result<Subject, String> {
    let server = format!("{{quatrain}} bare {{parent}} {} {{mode}}", kind.name());
    // The client on mio is the floor's.
    let client: Option<Template> = match kind {
        BareKind::Threads => Some("{quatrain} bare threads fetch {fetch}".parse()?),
        _ => None,
    };
    Ok(Subject {
        name: bare_name(kind),
        kind: Kind::Bare,
        baseline: None,
        server: Some((server.parse()?, Role::ALL.to_vec())),
        client,
    })
}

fn bare_name(kind: BareKind) -> String {
    format!("bare-{}", kind.name())
}
