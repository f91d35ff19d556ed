//! An errand with the default bounds, that reports to nobody.

use std::rc::Rc;
use std::sync::Arc;

use callbacks::{Errand, Reactor};
use poetry::event::Unobserved;
use poetry::{Clock, Limits, Reporter, Role};

/// The errand of fetching poem number `task`.
pub(crate) fn errand(reactor: &Reactor, task: u64) -> Rc<Errand> {
    let reporter = Reporter::new(
        "callbacks",
        Role::PoemClient,
        Clock::stopped(),
        Arc::new(Unobserved),
    );
    Errand::begin(reactor, &Rc::new(Limits::default()), &reporter, 0, task)
}
