"""What all servers do with a connection: sending at the pace of the peer, timeouts, the lingering close (S7), and counting (S23).

Twisted calls a protocol when something happens; what a connection does between two calls is a coroutine, which Twisted runs
as a Deferred. When the connection is lost the Deferred is cancelled, and with it whatever the coroutine waits for.
"""

from io import BytesIO

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.basic import FileSender
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

LINGER_SECONDS, LINGER_BYTES_MAX = 2, 1_000_000


@implementer(IHalfCloseableProtocol)  # Without it, the peer's FIN would end the connection (S1, S6).
class Connection(Protocol, TimeoutMixin):
    """A subclass has `begin`, `received`, `peer_has_finished`, and says what times out and what is idle."""

    log = Logger()
    work = succeed(None)
    is_sending = is_lingering = peer_finished = False
    in_flight = 0  # Requests that are not answered yet.
    reason = None  # Why the connection ends, once that is known.
    drained = 0

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        self.factory.connected(self)  # Calls `begin`, at once or when there is room.

    # ANCHOR: work_on
    def work_on(self, coroutine):
        """Runs `coroutine`; it ends with the connection, and an error in it costs this connection only (S20)."""
        self.work = Deferred.fromCoroutine(coroutine).addErrback(self.work_failed)

    def work_failed(self, failure):
        if not failure.check(CancelledError, ConnectionLost):
            self.log.failure("A handler failed: {log_failure.value}", failure)
            self.finish("panic")
    # ANCHOR_END: work_on

    async def send(self, data):
        """Returns when the kernel has taken all of `data`. A peer that takes nothing for the write timeout is reset (S18)."""
        self.is_sending = True
        self.setTimeout(self.factory.limits.write_timeout)
        try:  # A pull producer: the transport asks for 16 KiB whenever it has sent what it had.
            await FileSender().beginFileTransfer(BytesIO(data), self.transport, self.sending)
        except Exception as error:  # FileSender has no type of its own for it.
            raise ConnectionLost from error
        finally:
            self.is_sending = False
            self.setTimeout(None)

    def sending(self, chunk):
        self.resetTimeout()
        self.factory.counts.bytes_out += len(chunk)
        return chunk

    def answered(self, requests):
        self.in_flight -= requests
        self.factory.counts.answered += requests

    def finish(self, reason):
        """Ends a connection that is owed nothing more. Closing with unread input would send RST, which can overtake the last
        reply: so FIN comes first, and what still comes is drained for a bounded time (S7)."""
        self.reason = self.reason or reason
        if self.peer_finished:
            return self.transport.loseConnection()
        self.is_lingering = True
        self.transport.loseWriteConnection()
        self.transport.resumeProducing()
        self.setTimeout(LINGER_SECONDS)

    def reset(self, reason):
        """Ends a connection that is owed something: after FIN a part of a poem would look complete (S21)."""
        self.reason = reason
        self.transport.abortConnection()

    def dataReceived(self, data):
        self.factory.counts.bytes_in += len(data)
        if not self.is_lingering:
            return self.received(data)
        self.drained += len(data)
        if self.drained > LINGER_BYTES_MAX:
            self.transport.loseConnection()

    def readConnectionLost(self):
        self.peer_finished = True
        if self.is_lingering:
            self.transport.loseConnection()
        else:
            self.peer_has_finished()

    def writeConnectionLost(self):
        pass  # Our own FIN is sent.

    def timeoutConnection(self):
        if self.is_lingering:
            self.transport.loseConnection()
        elif self.is_sending:
            self.reset("write")
        else:
            self.reason = self.what_times_out()
            self.transport.loseConnection()

    def stop(self):
        """The server stops (S21)."""
        if self.is_idle():
            self.reason = "done"
            self.transport.loseConnection()

    def cut(self):
        """The grace is over."""
        if self.is_lingering:
            self.transport.loseConnection()
        else:
            self.reset("cut")

    def connectionLost(self, reason):
        self.setTimeout(None)
        self.work.cancel()
        is_orderly = reason.check(ConnectionDone, ConnectionAborted) or self.is_lingering
        if not self.reason or not is_orderly:
            self.reason = "done" if reason.check(ConnectionDone) else "reset"
        self.factory.lost(self)
