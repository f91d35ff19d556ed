"""A server: its connections and their limit (S16), its counts (S23), and its orderly stop (S21)."""

import json
import os
import resource
import signal
import sys
import time
from collections import Counter, deque
from types import SimpleNamespace

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.logger import Logger

BACKLOG = 4_096
LOG_LINES_PER_SECOND = 10
CLOSED = "done refused reset idle deadline write cut panic left upstream".split()
FETCHES = "begun cached failed cancelled under_way".split()


# ANCHOR: factory
class Server(Factory):
    """Builds a `protocol` for each connection, and knows those that are open."""

    noisy = False
    log = Logger()

    def __init__(self, protocol, limits):
        self.protocol, self.limits = protocol, limits
        self.counts = SimpleNamespace(accepted=0, requests=0, answered=0, failed=0, bytes_in=0, bytes_out=0)
        self.closed, self.refused, self.fetches = Counter(), Counter(), Counter()
        self.connections, self.waiting = set(), deque()
        self.is_stopping = False
        self.empty = None
        self.logged = (0, 0)

    def connected(self, connection):
        """Twisted accepts in batches, so a few connections may come after the port was told to stop: they wait, unread."""
        if len(self.connections) < self.limits.connections_max:
            return self.admit(connection)
        self.waiting.append(connection)
        connection.transport.pauseProducing()

    def admit(self, connection):
        self.connections.add(connection)
        self.counts.accepted += 1
        if len(self.connections) == self.limits.connections_max:
            self.port.pauseProducing()  # Further connections wait in the kernel.
        connection.begin()
    # ANCHOR_END: factory

    def lost(self, connection):
        if connection not in self.connections:
            return self.waiting.remove(connection)
        self.connections.remove(connection)
        self.closed[connection.reason] += 1
        self.counts.failed += connection.in_flight
        if self.is_stopping:
            if self.empty and not self.connections:
                self.empty.callback(None)
        elif self.waiting:
            waiting = self.waiting.popleft()
            waiting.transport.resumeProducing()
            self.admit(waiting)
        else:
            self.port.resumeProducing()

    # ANCHOR: stop
    async def stop(self, reactor, grace):
        """Accepts no more, lets what is in flight finish, and cuts what is not finished within `grace` seconds."""
        self.is_stopping = True
        await self.port.stopListening()
        for connection in [*self.waiting, *self.connections]:
            connection.cut() if connection in self.waiting else connection.stop()
        if not self.connections:
            return
        self.empty = Deferred()
        late = reactor.callLater(grace, lambda: [it.cut() for it in [*self.connections]])
        await self.empty
        if late.active():
            late.cancel()
    # ANCHOR_END: stop

    def log_refusal(self, connection, why):
        """Writes at most ten lines a second (S22)."""
        second, lines = self.logged
        if second != int(time.monotonic()):
            second, lines = int(time.monotonic()), 0
        if lines < LOG_LINES_PER_SECOND:
            peer = connection.transport.getPeer()
            self.log.warn("{host}:{port}: {why}", host=peer.host, port=peer.port, why=why)
        self.logged = second, lines + 1

    def line_of_counts(self):
        counts, refused = self.counts, sum(self.refused.values())
        in_flight = counts.requests - counts.answered - counts.failed - refused
        fetches = {name: self.fetches[name] for name in FETCHES}
        fetches["under_way"] = 2 * fetches["begun"] - sum(fetches.values())
        return json.dumps(
            vars(counts)
            | {"open": len(self.connections), "closed": {name: self.closed[name] for name in CLOSED}}
            | {"refused": dict(self.refused), "in_flight": in_flight, "fetches": fetches}
        )


def serve(server, what, options):
    """Runs `server` until a signal stops it, and ends the program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    react(run, (server, what, options))


async def run(reactor, server, what, options):
    running = Deferred()
    reactor.callWhenRunning(running.callback, None)
    await running  # Twisted has installed its handlers of signals now; ours replace them.
    asked_to_stop = Deferred()

    def on_signal(number, action):
        signal.signal(number, lambda *_: reactor.callFromThread(action))

    def stop():
        if asked_to_stop.called:  # A second signal ends it at once.
            os._exit(1 if server.connections else 0)
        asked_to_stop.callback(None)

    endpoint = TCP4ServerEndpoint(reactor, options.port, BACKLOG, options.iface)
    try:
        server.port = await endpoint.listen(server)
    except CannotListenError as error:
        why = error.socketError.strerror
        print(f"quatrain-twisted: cannot listen on {options.iface}:{options.port}: {why}", file=sys.stderr)
        raise SystemExit(2)
    on_signal(signal.SIGTERM, stop)
    on_signal(signal.SIGINT, stop)
    on_signal(signal.SIGUSR1, lambda: write_counts(server, options.stats))
    if hasattr(server, "reload"):
        on_signal(signal.SIGHUP, server.reload)
    host = server.port.getHost()
    print(f"Serving {what} on {host.host}:{host.port} with twisted", flush=True)

    await asked_to_stop
    await server.stop(reactor, options.grace)
    write_counts(server, options.stats)
    raise SystemExit(1 if server.closed["cut"] else 0)


def write_counts(server, path):
    with open(path, "a") if path else os.fdopen(os.dup(2), "w") as file:
        file.write(server.line_of_counts() + "\n")
