//! Random histories: a tree of supervisors, puppets beside it, and what they do to each other.

use std::time::Duration;

use fastrand::Rng;

use crate::history::{
    Act, Ask, AutoShutdown, Child, Command, End, History, Instant, Kind, Manner, ROOT_PARENT,
    Request, Restart, Shutdown, Signal, Slot, Strategy,
};

const PUPPETS_MAX: usize = 4;
const CHILDREN_MAX: usize = 4;
const DEPTH_MAX: usize = 3;
const INSTANTS_MAX: usize = 9;
const ACTS_MAX: usize = 5;

/// Waits between instants are multiples of this. Every timeout is a multiple and a few ticks, so that no timeout ends at
/// an instant.
const WAIT: Duration = Duration::from_millis(80);
const TICK: Duration = Duration::from_millis(5);
/// The period of a supervisor's intensity, if the history is about it.
const PERIOD: Duration = Duration::from_secs(1);
/// Longer than that. OTP counts whole seconds, so that some more may pass before a restart is forgotten.
const AFTER_PERIOD: Duration = Duration::from_millis(2_160);
/// Long enough for the root to start, or to stop what it has started.
const STARTED: Duration = Duration::from_millis(960);
/// A period that no history outlasts.
const FOREVER: Duration = Duration::from_secs(3_600);
const NAMES: usize = 2;
const WORDS: [&str; 4] = ["ash", "birch", "elm", "oak"];

impl History {
    pub(crate) fn random(random: &mut Rng) -> Self {
        Generator::new(random).history()
    }
}

struct Generator<'a> {
    random: &'a mut Rng,
    /// The number of slots so far.
    slots: Slot,
    puppets: Vec<Slot>,
    workers: Vec<Slot>,
    supervisors: Vec<Slot>,
    /// Timeouts so far, so that no two are equal.
    timeouts: u32,
    period: Duration,
    /// Whether the history is about supervision only.
    only_supervision: bool,
}

impl<'a> Generator<'a> {
    fn new(random: &'a mut Rng) -> Self {
        let period = if random.u8(0..6) == 0 {
            PERIOD
        } else {
            FOREVER
        };
        let only_supervision = random.bool();
        Self {
            random,
            slots: 0,
            puppets: Vec::new(),
            workers: Vec::new(),
            supervisors: Vec::new(),
            timeouts: 0,
            period,
            only_supervision,
        }
    }

    fn history(mut self) -> History {
        let count = self.random.usize(2..=PUPPETS_MAX);
        let mut puppets = Vec::new();
        for _ in 0..count {
            let manner = [Manner::Plain, Manner::Stubborn][self.random.usize(0..2)];
            let slot = self.slot();
            self.puppets.push(slot);
            puppets.push(manner);
        }
        let root = self.supervisor(0);
        let mut instants = vec![self.first(root.slot)];
        for _ in 0..self.random.usize(1..=INSTANTS_MAX) {
            instants.push(self.instant());
        }
        // `start_link` may take that long, and takes the exit of what it starts.
        if instants[0].acts.len() > 1 {
            instants[1].wait += STARTED;
        }
        let (wait, acts) = (3 * WAIT, Vec::new());
        instants.push(Instant { wait, acts });
        History {
            puppets,
            root,
            instants,
        }
    }

    fn slot(&mut self) -> Slot {
        self.slots += 1;
        self.slots - 1
    }

    /// The root supervisor is started; sometimes a start fails.
    fn first(&mut self, root: Slot) -> Instant {
        let mut acts = Vec::new();
        if self.random.u8(0..8) == 0 {
            acts.push(self.refuse());
        }
        acts.push(Act::Do(ROOT_PARENT, vec![Command::StartRoot(root)]));
        let wait = Duration::ZERO;
        Instant { wait, acts }
    }

    fn supervisor(&mut self, depth: usize) -> Child {
        let slot = self.slot();
        self.supervisors.push(slot);
        let children = self.random.usize(usize::from(depth == 0)..=CHILDREN_MAX);
        let mut children: Vec<_> = (0..children).map(|_| self.child(depth + 1)).collect();
        let auto_shutdown = match self.random.u8(0..8) {
            0 => AutoShutdown::AnySignificant,
            1 => AutoShutdown::AllSignificant,
            _ => AutoShutdown::Never,
        };
        if auto_shutdown != AutoShutdown::Never {
            for child in &mut children {
                child.significant = child.restart != Restart::Permanent && self.random.bool();
            }
        }
        let strategies = [
            Strategy::OneForOne,
            Strategy::OneForAll,
            Strategy::RestForOne,
        ];
        let kind = Kind::Supervisor {
            strategy: strategies[self.random.usize(0..3)],
            intensity: self.random.usize(0..5),
            period: self.period,
            auto_shutdown,
            children,
        };
        // A supervisor's time to stop is long, as OTP advises.
        let shutdown = match self.random.u8(0..8) {
            0 => Shutdown::Kill,
            1 => Shutdown::After(self.timeout()),
            _ => Shutdown::Infinity,
        };
        Child {
            slot,
            restart: self.restart(),
            shutdown,
            significant: false,
            kind,
        }
    }

    fn child(&mut self, depth: usize) -> Child {
        if depth < DEPTH_MAX && self.random.u8(0..4) == 0 {
            self.supervisor(depth)
        } else {
            self.worker()
        }
    }

    fn worker(&mut self) -> Child {
        let slot = self.slot();
        self.workers.push(slot);
        let manner = match self.random.u8(0..10) {
            0 => Manner::Stubborn,
            1 => Manner::Unlinks,
            2 | 3 => Manner::Obeys(None),
            4 => Manner::Obeys(Some(self.end())),
            _ => Manner::Plain,
        };
        // A stubborn worker must be killed at some time.
        let shutdown = match self.random.u8(0..6) {
            0 => Shutdown::Kill,
            1 if manner != Manner::Stubborn => Shutdown::Infinity,
            _ => Shutdown::After(self.timeout()),
        };
        Child {
            slot,
            restart: self.restart(),
            shutdown,
            significant: false,
            kind: Kind::Worker(manner),
        }
    }

    fn restart(&mut self) -> Restart {
        match self.random.u8(0..6) {
            0..3 => Restart::Permanent,
            3 | 4 => Restart::Transient,
            _ => Restart::Temporary,
        }
    }

    /// A timeout that differs from all others, and that ends between two instants.
    fn timeout(&mut self) -> Duration {
        self.timeouts += 1;
        self.random.u32(0..2) * WAIT + (1 + self.timeouts % 15) * TICK
    }

    fn instant(&mut self) -> Instant {
        let wait = match self.random.u8(0..8) {
            0..4 => Duration::ZERO,
            4 if self.period == PERIOD => AFTER_PERIOD,
            wait => u32::from(wait - 3) / 2 * WAIT,
        };
        let acts = self.random.usize(1..=ACTS_MAX);
        let acts = (0..acts).map(|_| self.act()).collect();
        Instant { wait, acts }
    }

    fn act(&mut self) -> Act {
        match self.random.u8(0..17) {
            0 => self.refuse(),
            16 if !self.only_supervision => self.flood(),
            1 | 2 => Act::Signal(self.any(), self.signal()),
            3..6 if self.only_supervision => Act::Signal(self.worker_slot(), self.signal()),
            3..10 if self.only_supervision => {
                Act::Do(self.worker_slot(), vec![Command::End(self.end())])
            }
            _ => {
                let slot = self.puppet();
                Act::Do(slot, self.commands(slot))
            }
        }
    }

    /// More messages than a mailbox holds.
    fn flood(&mut self) -> Act {
        let (slot, to) = (self.puppet(), self.puppet());
        let mut commands = self.commands(slot);
        if slot != to {
            let sends = WORDS.iter().map(|word| Command::Send(to, word));
            commands.splice(0..0, sends);
        }
        Act::Do(slot, commands)
    }

    /// The root has no supervisor.
    fn refuse(&mut self) -> Act {
        let slot = self.child_slot();
        Act::Refuse(slot, self.random.usize(1..4))
    }

    fn child_slot(&mut self) -> Slot {
        let children = [&self.workers[..], &self.supervisors[1..]].concat();
        match children.len() {
            0 => self.slots,
            count => children[self.random.usize(0..count)],
        }
    }

    /// Commands for the process in slot `me`. What ends it comes last.
    fn commands(&mut self, me: Slot) -> Vec<Command> {
        let count = if self.random.bool() {
            1
        } else {
            self.random.usize(1..4)
        };
        let mut commands = Vec::new();
        for _ in 0..count {
            let command = self.command(me);
            let is_last = match command {
                Command::End(_) => true,
                Command::Signal(slot, _) => slot == me,
                _ => false,
            };
            commands.push(command);
            if is_last {
                break;
            }
        }
        commands
    }

    fn command(&mut self, me: Slot) -> Command {
        let word = WORDS[self.random.usize(0..WORDS.len())];
        match self.random.u8(0..35) {
            0..4 => Command::End(self.end()),
            4 => Command::TrapExits,
            5 => Command::After(self.timeout()),
            6..10 => Command::Link(self.any()),
            10 => Command::Unlink(self.any()),
            11..14 => Command::Monitor(self.any()),
            14 => Command::Demonitor,
            15 | 16 => Command::Signal(self.any(), self.signal()),
            // To itself a process could wait for room for ever.
            17..19 => match self.puppet() {
                slot if slot == me => Command::TrapExits,
                slot => Command::Send(slot, word),
            },
            // A call to itself is an error in OTP.
            19..22 => match self.puppet() {
                slot if slot == me => Command::Reply,
                slot => Command::Call(slot, self.timeout(), self.request()),
            },
            22 => Command::Reply,
            // A process has one name in Erlang.
            23 | 24 => Command::Register(me % NAMES),
            25 => Command::SendToName(self.random.usize(0..NAMES), word),
            26 | 27 => self.spawn(),
            28 | 29 => self.start_child(),
            30 => Command::WhichChildren(self.supervisor_slot()),
            _ => self.ask(),
        }
    }

    fn spawn(&mut self) -> Command {
        let manner = [Manner::Plain, Manner::Stubborn][self.random.usize(0..2)];
        let slot = self.slot();
        self.puppets.push(slot);
        if self.random.bool() {
            Command::Spawn(slot, manner)
        } else {
            Command::SpawnLink(slot, manner)
        }
    }

    fn ask(&mut self) -> Command {
        let asks = [Ask::Terminate, Ask::Terminate, Ask::Restart, Ask::Delete];
        let ask = asks[self.random.usize(0..asks.len())];
        Command::Ask(ask, self.supervisor_slot(), self.child_slot())
    }

    fn start_child(&mut self) -> Command {
        let supervisor = self.supervisor_slot();
        let child = self.child(DEPTH_MAX - 1);
        Command::StartChild(supervisor, child)
    }

    fn request(&mut self) -> Request {
        match self.random.u8(0..6) {
            0..3 => Request::Answer,
            3 => Request::Keep,
            4 => Request::Drop,
            _ => Request::End(self.end()),
        }
    }

    fn end(&mut self) -> End {
        match self.random.u8(0..5) {
            0 => End::Normal,
            1 => End::Shutdown,
            _ => End::Crash(WORDS[self.random.usize(0..WORDS.len())]),
        }
    }

    fn signal(&mut self) -> Signal {
        match self.random.u8(0..4) {
            0 => Signal::Kill,
            _ => Signal::Exit(self.end()),
        }
    }

    fn worker_slot(&mut self) -> Slot {
        match self.workers.len() {
            0 => self.puppets[self.random.usize(0..self.puppets.len())],
            workers => self.workers[self.random.usize(0..workers)],
        }
    }

    fn supervisor_slot(&mut self) -> Slot {
        self.supervisors[self.random.usize(0..self.supervisors.len())]
    }

    /// The slot of a process that runs commands.
    fn puppet(&mut self) -> Slot {
        if self.random.bool() {
            self.worker_slot()
        } else {
            self.puppets[self.random.usize(0..self.puppets.len())]
        }
    }

    fn any(&mut self) -> Slot {
        match self.random.u8(0..3) {
            0 => self.supervisor_slot(),
            _ => self.puppet(),
        }
    }
}
