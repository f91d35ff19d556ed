"""Reads requests and delivers replies (S2, S4 to S7, S18, S24), for transform and library servers.

Beside callbacks/src/netstring_server.rs. A subclass of `NetstringServer` answers one request.
"""

from twisted.internet.defer import CancelledError, Deferred

from connection import Connection
from netstring import Decoder, FramingError
from serving import Server

REQUESTS_PER_TURN_MAX = 64


class Refused(Exception):
    """The request is answered by closing the connection (S4). Its arguments are what is counted, and what is logged."""


class NetstringConnection(Connection):
    heavy = None  # The Deferred of a request that is to compute in a thread.
    has_begun = False  # Whether a part of a request has arrived, and its deadline runs.

    def begin(self):
        self.decoder = Decoder(self.factory.limits.frame_bytes_max)
        self.wait_for_requests()

    def received(self, data):
        self.decoder.feed(data)
        self.work_on(self.answer_requests())

    async def answer_requests(self):
        """While a byte of a reply is unsent, nothing more is read (S5). Between two turns the reactor serves others (S24)."""
        self.transport.pauseProducing()
        while (replies := self.take_turn()) or self.heavy:
            self.has_begun = False
            if not replies:
                replies = await self.heavy_reply()
            if replies:
                await self.send(b"".join(replies))
                self.answered(len(replies))
        if self.reason:
            self.finish(self.reason)
        else:
            self.wait_for_requests()

    # ANCHOR: take_turn
    def take_turn(self):
        """Answers requests that have arrived, until one ends the connection or computes in a thread."""
        replies = []
        while not (self.reason or self.heavy) and len(replies) < REQUESTS_PER_TURN_MAX:
            try:
                request = self.decoder.next()
                if request is None:
                    break
                self.count_request()
                reply = self.factory.answer(request)
                if isinstance(reply, Deferred):
                    self.heavy = reply
                else:
                    replies.append(reply)
                if not self.factory.keep_alive:
                    self.reason = "done"
            except Exception as error:
                self.fail(error)
        return replies
    # ANCHOR_END: take_turn

    async def heavy_reply(self):
        """Waits for a request that computes in a thread (S25); no timeout runs meanwhile."""
        self.setTimeout(None)
        heavy, self.heavy = self.heavy, None
        try:
            return [await heavy]
        except CancelledError:  # The connection is lost. The thread computes on; its result is dropped.
            raise
        except Exception as error:
            self.fail(error)
            return []

    def fail(self, error):
        """The request gets no reply, and none after it does. What was answered before is delivered."""
        self.reason = None
        if isinstance(error, FramingError):
            self.count_request()
            self.refuse("framing", str(error))
        elif isinstance(error, Refused):
            self.refuse(*error.args)
        else:  # A mistake in a handler costs this connection only (S20).
            self.log.error("A handler failed: {error}", error=error)
            self.in_flight -= 1
            self.factory.counts.failed += 1
            self.reason = "panic"

    def count_request(self):
        self.in_flight += 1
        self.factory.counts.requests += 1

    def refuse(self, kind, why):
        self.in_flight -= 1
        self.factory.refused[kind] += 1
        self.factory.log_refusal(self, f"refused a request: {why}")
        self.reason = "refused"

    def wait_for_requests(self):
        if self.decoder.has_partial():
            if not self.has_begun:  # Further bytes do not extend the deadline.
                self.setTimeout(self.factory.limits.deadline)
            self.has_begun = True
        elif self.factory.is_stopping:
            return self.finish("done")
        else:
            self.setTimeout(self.factory.limits.idle_timeout)
        self.transport.resumeProducing()

    def peer_has_finished(self):
        if self.decoder.has_partial():
            self.count_request()
            self.refuse("truncated", "it is cut short")
        self.finish("done")

    def what_times_out(self):
        return "deadline" if self.has_begun else "idle"

    def is_idle(self):
        return not (self.in_flight or self.is_lingering or self.decoder.has_partial())


class NetstringServer(Server):
    def __init__(self, keep_alive, limits):
        super().__init__(NetstringConnection, limits)
        self.keep_alive = keep_alive

    def answer(self, request):
        """Returns the whole reply, a netstring, or a Deferred of it; or raises Refused."""
        raise NotImplementedError
