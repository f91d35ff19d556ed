"""Runs programs of Deferreds on Twisted: one JSON program a line in, what happened in it as one JSON line out.

`ours.rs` runs the same programs on `callbacks`. Where Twisted behaves as SEMANTICS.md says that we do not, the program's
`deviations` name it.
"""

import gc
import json
import sys

from twisted.internet.defer import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    DeferredList,
    DeferredQueue,
    DeferredSemaphore,
    FailureGroup,
    FirstError,
    QueueOverflow,
    QueueUnderflow,
    TimeoutError,
    gatherResults,
    race,
)
from twisted.internet.task import Clock
from twisted.logger import globalLogBeginner, globalLogPublisher
from twisted.python.failure import Failure


ALREADY_CALLED = "AlreadyCalledError: "


class Numbered(Exception):
    """A failure of the program itself."""


class AllFailed(Exception):
    """All members of a list failed."""


def text(error):
    """The words that `callbacks` has for `error`."""
    if isinstance(error, Failure):
        error = error.value
    if isinstance(error, Numbered):
        return f"n{error.args[0]}"
    if isinstance(error, CancelledError):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, FirstError):
        return f"member {error.index} failed: {text(error.subFailure)}"
    if isinstance(error, FailureGroup):
        return "; ".join([f"all {len(error.failures)} failed", *map(text, error.failures)])
    if isinstance(error, AllFailed):
        return "; ".join([f"all {len(error.args[0])} failed", *map(text, error.args[0])])
    if isinstance(error, AssertionError):
        return "released more often than acquired"
    return f"{type(error).__name__}: {error}"


class Semaphore(DeferredSemaphore):
    """Notes a release within a grant."""

    granting = 0

    def __init__(self, permits, note):
        super().__init__(permits)
        self.note = note

    def release(self):
        if self.granting:
            self.note("grant-in-turn")
        self.granting += 1
        try:
            super().release()
        finally:
            self.granting -= 1


class Program:
    """One program: its Deferreds by number, and what happened."""

    def __init__(self, program):
        Program.current = self
        self.trace = []
        self.deviations = set()
        self.excused = []
        self.unlisted = 0  # Lists whose result no handler has taken.
        self.semaphore = Semaphore(program["permits"], self.deviations.add)
        self.clock = Clock()
        self.queue = DeferredQueue(size=2, backlog=2)  # As LENGTH_MAX in generator.rs.
        self.deferreds = []  # Those that handlers can be added to; None once one is part of another.
        self.controls = []  # All, to be cancelled and paused.
        self.fired = []
        self.waits = []
        self.pauses = {}
        for canceller in program["cancellers"]:
            self.create(Deferred(self.canceller(canceller)))
        self.base = len(self.deferreds)
        for number, step in enumerate(program["steps"]):
            self.step(number, step)

    def create(self, deferred):
        self.deferreds.append(deferred)
        self.controls.append(deferred)
        self.fired.append(False)
        self.waits.append(None)

    @staticmethod
    def canceller(kind):
        if kind == "Absent":
            return None
        if kind == "Silent":
            return lambda _: None
        if "Succeeds" in kind:
            return lambda deferred: deferred.callback(kind["Succeeds"])
        return lambda deferred: deferred.errback(Numbered(kind["Fails"]))

    def step(self, number, step):
        (kind, given), = step.items()
        getattr(self, kind.lower())(number, given)

    # Steps.

    def add(self, number, given):
        of, side, act, then = given["of"], given["side"], given["act"], given["then"]
        deferred = self.deferreds[of] if of < len(self.deferreds) else None
        if deferred is None:
            return
        self.deferreds[of] = None

        def handler(result):
            return self.handle(number, of, act, then, result)

        add = {"Callback": deferred.addCallback, "Errback": deferred.addErrback, "Both": deferred.addBoth}
        add[side](handler)
        self.deferreds[of] = deferred

    def handle(self, number, of, act, then, result):
        self.waits[of] = None
        failed = isinstance(result, Failure)
        self.trace.append(f"h{number} {'err' if failed else 'ok'} {text(result) if failed else result}")
        if act is not None:
            self.step(number, act)
        if "Returns" in then:
            return then["Returns"]
        if "Fails" in then:
            raise Numbered(then["Fails"])
        inner = then["Waits"]
        if inner >= len(self.deferreds) or self.leads_to(inner, of) or self.deferreds[inner] is None:
            return 0
        deferred, self.deferreds[inner] = self.deferreds[inner], None
        self.waits[of] = inner
        if deferred._runningCallbacks:
            self.deviations.add("running-inner")
        return deferred

    def leads_to(self, at, to):
        while at is not None:
            if at == to:
                return True
            at = self.waits[at]
        return False

    # ANCHOR: fire
    def fire(self, _, given):
        of, result = given
        if of >= self.base or self.fired[of]:
            return
        self.fired[of] = True
        try:
            if "Ok" in result:
                self.controls[of].callback(result["Ok"])
            else:
                self.controls[of].errback(Numbered(result["Err"]))
        except AlreadyCalledError:
            self.deviations.add("dropped-fire")
    # ANCHOR_END: fire

    def cancel(self, _, of):
        if of >= len(self.controls):
            return
        try:
            self.controls[of].cancel()
        except RecursionError:
            self.deviations.add("waits-for-itself")

    def pause(self, _, of):
        if of >= len(self.controls):
            return
        if self.controls[of]._runningCallbacks:
            self.deviations.add("pause-at-once")
        self.controls[of].pause()
        self.pauses[of] = self.pauses.get(of, 0) + 1

    def unpause(self, _, of):
        if of >= len(self.controls):
            return
        if not self.pauses.get(of):
            self.trace.append(f"u{of} not paused")
            return
        self.pauses[of] -= 1
        self.controls[of].unpause()

    def list(self, number, given):
        kind, consume, members = given["kind"], given["consume"], given["members"]
        taken = []
        for of in members:
            if of < len(self.deferreds) and self.deferreds[of] is not None:
                taken.append(self.deferreds[of])
                self.deferreds[of] = None
        if kind == "Race":
            if not taken:
                self.deviations.add("empty-race")
            whole = race(taken)
            self.watch_canceller(whole)
        elif kind == "Gather":
            whole = gatherResults(taken, consumeErrors=True)
        else:
            whole = DeferredList(
                taken,
                fireOnOneCallback=kind == "OneCallback",
                fireOnOneErrback=kind == "OneErrback",
                consumeErrors=consume,
            )
        self.unlisted += 1
        whole.addBoth(lambda result: self.listed(number, kind, consume, result))
        self.create(whole)

    def watch_canceller(self, deferred):
        """Notes a cancel inside the canceller of a race."""
        canceller, running = deferred._canceller, []

        def cancel(it):
            if running:
                self.deviations.add("canceller-once")
            running.append(it)
            canceller(it)
            running.pop()

        if canceller is not None:
            deferred._canceller = cancel

    def listed(self, number, kind, consume, result):
        self.unlisted -= 1
        if isinstance(result, Failure):
            if kind == "OneErrback" and not consume and isinstance(result.value, FirstError):
                self.deviations.add("one-owner")
                self.excused.append(text(result.value.subFailure))
            self.trace.append(f"l{number} err {text(result)}")
            return result
        if kind == "OneCallback" and isinstance(result, list):
            self.deviations.add("all-failed")
            failures = [failure for _, failure in result]
            if not consume:
                self.deviations.add("one-owner")
                self.excused += map(text, failures)
            failure = Failure(AllFailed(failures))
            self.trace.append(f"l{number} err {text(failure)}")
            return failure
        if kind == "All":
            if not consume:
                failures = [text(failure) for succeeded, failure in result if not succeeded]
                if failures:
                    self.deviations.add("one-owner")
                self.excused += failures
            words = [f"ok {value}" if succeeded else f"err {text(value)}" for succeeded, value in result]
        elif kind in ("Gather", "OneErrback"):
            values = [value if kind == "Gather" else value[1] for value in result]
            words = [f"ok {value}" for value in values]
        elif kind == "Race":
            words = [f"{result[0]} ok {result[1]}"]
        else:
            words = [f"{result[1]} ok {result[0]}"]
        self.trace.append(f"l{number} ok [{', '.join(words)}]")
        return number

    def acquire(self, _, __):
        self.create(self.semaphore.acquire().addCallback(lambda _: 0))

    def release(self, number, _):
        try:
            self.semaphore.release()
        except AssertionError:
            self.trace.append(f"r{number} too often")

    def run(self, number, then):
        def work():
            self.trace.append(f"w{number}")
            if "Returns" in then:
                return then["Returns"]
            if "Fails" in then:
                raise Numbered(then["Fails"])
            inner = then["Waits"]
            if inner >= len(self.deferreds) or self.deferreds[inner] is None:
                return 0
            deferred, self.deferreds[inner] = self.deferreds[inner], None
            if deferred._runningCallbacks:
                self.deviations.add("running-inner")
            return deferred

        self.create(self.semaphore.run(work))

    def timeout(self, _, given):
        of, seconds = given
        deferred = self.deferreds[of] if of < len(self.deferreds) else None
        if deferred is None:
            return
        self.deferreds[of] = None
        deferred.addTimeout(seconds, self.clock)
        self.deferreds[of] = deferred

    def advance(self, _, seconds):
        self.clock.advance(seconds)

    def get(self, number, _):
        try:
            self.create(self.queue.get())
        except QueueUnderflow:
            self.trace.append(f"q{number} Underflow")

    def put(self, number, value):
        try:
            self.queue.put(value)
        except QueueOverflow:
            self.trace.append(f"q{number} Overflow")

    # The end.

    def ends(self):
        # `callbacks` drops these unfired, which abandons them and may report failures that they hold.
        self.unfinished = self.unlisted or any(
            not created.called or isinstance(created.result, Deferred)
            for created in self.controls[self.base :]
        )
        for of, deferred in enumerate(self.deferreds):
            if deferred is None or deferred.paused or not deferred.called or deferred._runningCallbacks:
                continue
            result = getattr(deferred, "result", None)
            if isinstance(result, Failure):
                self.trace.append(f"d{of} err {text(result)}")
                # Both sides take this failure here, so that neither reports it.
                deferred.addErrback(lambda _: None)
            elif not isinstance(result, Deferred):
                self.trace.append(f"d{of} ok {result}")
        for control in self.controls:
            if waits_for_itself(control):
                self.deviations.add("waits-for-itself")
            if control.paused and isinstance(getattr(control, "result", None), Failure):
                self.deviations.add("paused-failure")


def waits_for_itself(deferred):
    """Whether `deferred` waits, through others, for one of them again."""
    seen = set()
    while isinstance(getattr(deferred, "result", None), Deferred):
        if deferred in seen:
            return True
        seen.add(deferred)
        deferred = deferred.result
    return False


def noting_cancel(cancel):
    """Wraps `cancel` to note lists that do not end when they are cancelled, or do not pass the cancel on."""

    def noting(self):
        if self.called and isinstance(self.result, Deferred):
            Program.current.deviations.add("list-passes-cancel-on")
        cancel(self)
        if not self.called:
            Program.current.deviations.add("list-always-ends")

    return noting


def main():
    DeferredList.cancel = noting_cancel(DeferredList.cancel)
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    reports = []
    globalLogPublisher.addObserver(
        lambda event: reports.append(text(event["log_failure"])) if event.get("log_failure") else None
    )
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        program = Program(json.loads(line))
        program.ends()
        happened = {
            "trace": program.trace,
            "deviations": sorted(program.deviations),
            "excused": program.excused,
            "unfinished": bool(program.unfinished),
        }
        del program
        Program.current = None
        gc.collect()
        # A cancelled race fires once more when its last member fails, and Twisted logs that.
        if ALREADY_CALLED in reports:
            happened["deviations"].append("dropped-fire")
        happened["reported"] = sorted(report for report in reports if report != ALREADY_CALLED)
        reports.clear()
        print(json.dumps(happened))


main()
