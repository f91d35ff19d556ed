"""The caching proxy (S9): one fetch for all clients that wait, and then the poem from memory. Beside callbacks/src/proxy.rs."""

from twisted.internet.defer import Deferred, TimeoutError

from poem_client import FetchFailed, get_poetry, show
from poem_server import PoemConnection
from serving import Server


# ANCHOR: share_fetch
class Cache:
    """The poem, or the clients that wait for it: a Deferred for each."""

    def __init__(self, reactor, fetch, ttl, counts):
        self.reactor, self.fetch, self.ttl, self.counts = reactor, fetch, ttl, counts
        self.poem = None
        self.arrived_at = None
        self.waiting = []
        self.under_way = None

    def get(self):
        """Returns a Deferred of the poem. Cancelling it leaves; when the last one has left, the fetch is cancelled."""
        client = Deferred(self.leave)
        if self.is_fresh():
            client.callback(self.poem)
            return client
        self.waiting.append(client)
        if self.under_way is None:
            self.counts["begun"] += 1
            self.under_way = Deferred.fromCoroutine(self.fetch())
            self.under_way.addCallbacks(self.arrived, self.failed)
        return client

    def is_fresh(self):
        return self.poem is not None and (self.ttl is None or self.reactor.seconds() < self.arrived_at + self.ttl)

    def leave(self, client):
        self.waiting.remove(client)
        if not self.waiting:
            self.counts["cancelled"] += 1
            fetch, self.under_way = self.under_way, None
            fetch.cancel()

    def arrived(self, poem):
        self.counts["cached"] += 1
        self.poem, self.arrived_at = poem, self.reactor.seconds()
        for client in self.end_of_fetch():
            client.callback(poem)

    def failed(self, failure):
        if self.under_way is None:
            return  # It was cancelled.
        self.counts["failed"] += 1
        for client in self.end_of_fetch():
            client.errback(failure)

    def end_of_fetch(self):
        waiting, self.waiting, self.under_way = self.waiting, [], None
        return waiting
# ANCHOR_END: share_fetch


# ANCHOR: waiting_client
class ProxyConnection(PoemConnection):
    is_waiting = False

    async def serve(self):
        self.is_waiting = True
        try:
            poem = await self.factory.cache.get()
        except FetchFailed:
            return self.reset("upstream")  # FIN would be an empty poem.
        finally:
            self.is_waiting = False
        await self.send_poem(poem)

    def peer_has_finished(self):
        """A client that finishes while it waits has left; while the poem is sent, its FIN has no meaning."""
        if self.is_waiting:
            self.reset("left")
            self.work.cancel()
# ANCHOR_END: waiting_client


class Proxy(Server):
    pace = None

    def __init__(self, reactor, upstream, ttl, limits):
        super().__init__(ProxyConnection, limits)
        self.reactor, self.upstream = reactor, upstream
        self.cache = Cache(reactor, self.fetch, ttl, self.fetches)

    async def fetch(self):
        limits = self.limits
        fetch = Deferred.fromCoroutine(
            get_poetry(self.reactor, *self.upstream, limits.connect_timeout, limits.idle_timeout, limits.poem_bytes_max)
        )
        if limits.deadline is not None:
            fetch.addTimeout(limits.deadline, self.reactor)
        try:
            poem = await fetch
            if not poem:
                raise FetchFailed("the poem is empty")
            return poem.encode()
        except TimeoutError as error:
            raise self.fetch_failed("timed out") from error
        except FetchFailed as error:
            raise self.fetch_failed(error) from error

    def fetch_failed(self, why):
        self.log.warn("cannot fetch the poem of {upstream}: {why}", upstream=show(self.upstream), why=why)
        return FetchFailed(why)
