//! Smaller histories, to find what a difference needs.

use std::time::Duration;

use crate::history::{Act, Child, Command, History, Kind};

/// Returns histories that lack one thing each, those that lack most first.
pub(crate) fn smaller(history: &History) -> Vec<History> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut History)| {
        let mut smaller = history.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for index in 0..history.instants.len() {
        add(&|history| drop(history.instants.remove(index)));
    }
    for index in 0..children(&history.root) {
        add(&|history| {
            remove(&mut history.root, &mut { index });
        });
    }
    for (at, instant) in history.instants.iter().enumerate() {
        if !instant.wait.is_zero() {
            add(&|history| history.instants[at].wait = Duration::ZERO);
        }
        for (index, act) in instant.acts.iter().enumerate() {
            add(&|history| drop(history.instants[at].acts.remove(index)));
            let Act::Do(_, commands) = act else { continue };
            for command in 0..commands.len() {
                if commands.len() > 1 {
                    add(&|history| {
                        if let Act::Do(_, commands) = &mut history.instants[at].acts[index] {
                            commands.remove(command);
                        }
                    });
                }
                let Command::StartChild(_, child) = &commands[command] else {
                    continue;
                };
                for below in 0..children(child) {
                    add(&|history| {
                        if let Act::Do(_, commands) = &mut history.instants[at].acts[index]
                            && let Command::StartChild(_, child) = &mut commands[command]
                        {
                            remove(child, &mut { below });
                        }
                    });
                }
            }
        }
    }
    all
}

/// Returns the number of children below.
fn children(child: &Child) -> usize {
    match &child.kind {
        Kind::Worker(_) => 0,
        Kind::Supervisor {
            children: below, ..
        } => below.iter().map(|child| 1 + children(child)).sum(),
    }
}

/// Removes the child that is `index` places further below.
fn remove(child: &mut Child, index: &mut usize) -> bool {
    let Kind::Supervisor { children, .. } = &mut child.kind else {
        return false;
    };
    for at in 0..children.len() {
        if *index == 0 {
            children.remove(at);
            return true;
        }
        *index -= 1;
        if remove(&mut children[at], index) {
            return true;
        }
    }
    false
}
