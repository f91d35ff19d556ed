"""The poem client: fetches many poems at once, and has each transformed as soon as it has arrived (S10 to S13).

Beside callbacks/src/poem_client.rs and fetching.rs.
"""

import signal
import sys

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionDone, DNSLookupError
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import TimeoutMixin

from transform_client import TransformFailed, transform

CONNECT_SECONDS, IDLE_SECONDS, POEM_BYTES_MAX = 10, 60, 64 << 20


class FetchFailed(Exception):
    """A fetch failed; says why in words."""


# ANCHOR: protocol
class PoemProtocol(Protocol, TimeoutMixin):
    """Collects a poem until the server ends it; then `poem` fires, with its bytes or a failure."""

    def __init__(self, idle_seconds, bytes_max):
        self.idle_seconds, self.bytes_max = idle_seconds, bytes_max
        self.chunks, self.length = [], 0
        self.failure = None
        self.poem = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self):
        self.setTimeout(self.idle_seconds)

    def dataReceived(self, data):
        self.resetTimeout()
        self.chunks.append(data)
        self.length += len(data)
        if self.length > self.bytes_max:
            self.fail(f"the poem is longer than {self.bytes_max} bytes")

    def timeoutConnection(self):
        self.fail(f"timed out: the server sent nothing for {self.idle_seconds} s")

    def fail(self, why):
        self.failure = self.failure or FetchFailed(why)
        self.transport.abortConnection()

    def connectionLost(self, reason):
        self.setTimeout(None)
        if self.poem.called:  # It was cancelled.
            return
        if self.failure or not reason.check(ConnectionDone):  # After a reset a part of a poem would look complete.
            self.poem.errback(self.failure or FetchFailed("connection lost"))
        else:
            self.poem.callback(b"".join(self.chunks))
# ANCHOR_END: protocol


# ANCHOR: get_poetry
async def get_poetry(
    reactor, host, port, connect_seconds=CONNECT_SECONDS, idle_seconds=IDLE_SECONDS, bytes_max=POEM_BYTES_MAX
):
    """Fetches one poem, as text. UTF-8 is decoded at the end, so a character that the network cuts in two survives (S12)."""
    endpoint = HostnameEndpoint(reactor, host, port, timeout=connect_seconds)
    try:
        protocol = await connectProtocol(endpoint, PoemProtocol(idle_seconds, bytes_max))
    except (ConnectError, DNSLookupError) as error:
        raise FetchFailed(f"connection failed: {error}") from error
    try:
        return (await protocol.poem).decode()
    except UnicodeDecodeError as error:
        raise FetchFailed(f"the poem is not UTF-8 at byte {error.start}") from error
# ANCHOR_END: get_poetry


# ANCHOR: with_callbacks
def get_poetry_with_callbacks(reactor, host, port):
    """The same as `get_poetry` in the manner of Parts 7 to 9: the wait is where a callback is added."""
    endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_SECONDS)
    connected = connectProtocol(endpoint, PoemProtocol(IDLE_SECONDS, POEM_BYTES_MAX))
    connected.addCallback(lambda protocol: protocol.poem)  # Returns a Deferred: the chain waits for it.
    return connected.addCallback(lambda poem: poem.decode())
# ANCHOR_END: with_callbacks


# ANCHOR: fetch_one
async def fetch_one(reactor, task, address, name, via):
    """Fetches one poem, and has it transformed; if that fails, keeps the original (S13)."""
    poem = await get_poetry(reactor, *address)
    report(f"Task {task}: got {len(poem.encode())} bytes of poetry from {show(address)}")
    if via is None:
        return poem
    try:
        return await transform(reactor, *via, name, poem)
    except TransformFailed as error:
        report(f"Task {task}: keeps the poem as it is: {show(via)}: {error}")
        return poem
# ANCHOR_END: fetch_one


# ANCHOR: fetch_all
async def fetch(reactor, options):
    """Fetches all poems, prints those that arrived in the order of the arguments, and ends the program with its status."""
    fetches = [
        Deferred.fromCoroutine(fetch_one(reactor, task, address, options.transform, options.via))
        for task, address in enumerate(options.addresses, 1)
    ]
    fetched = DeferredList(fetches, consumeErrors=True)
    # Ctrl-C cancels what is under way; the poems that have arrived are printed.
    reactor.callWhenRunning(signal.signal, signal.SIGINT, lambda *_: reactor.callFromThread(fetched.cancel))
    results = await fetched
# ANCHOR_END: fetch_all
    for address, (arrived, result) in zip(options.addresses, results):
        if arrived:
            sys.stdout.buffer.write(result.encode())
        else:
            why = "cancelled" if result.check(CancelledError) else result.getErrorMessage()
            report(f"{show(address)}: {why}")
    sys.stdout.flush()
    if any(not arrived and result.check(CancelledError) for arrived, result in results):
        raise SystemExit(128 + signal.SIGINT)
    raise SystemExit(0 if all(arrived for arrived, _ in results) else 1)


def show(address):
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def report(line):
    print(line, file=sys.stderr)
