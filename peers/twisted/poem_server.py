"""The poem server, fast and slow (S1): writes the poem to every client at its pace, and then ends.

Beside callbacks/src/poem_server.rs.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from connection import Connection
from serving import Server


class PoemConnection(Connection):
    def begin(self):
        self.in_flight = 1
        self.factory.counts.requests += 1
        self.work_on(self.serve())

    async def serve(self):
        await self.send_poem(self.factory.poem)

    async def send_poem(self, poem):
        if pace := self.factory.pace:
            await self.send_slowly(poem, *pace)
        else:
            await self.send(poem)
        self.answered(1)
        self.finish("done")

    # ANCHOR: send_slowly
    async def send_slowly(self, poem, num_bytes, delay):
        """Chunk k is due k × delay after the beginning, and FIN after one delay more."""
        sent = 0

        def send_chunks(due):
            # `due` counts the chunks that are due since the last call: more than one if the client or the program was late.
            nonlocal sent
            chunk = poem[sent : sent + due * num_bytes]
            sent += len(chunk)
            # LoopingCall waits for what it is given, so a client that does not read gets no further chunk.
            return Deferred.fromCoroutine(self.send(chunk)) if chunk else loop.stop()

        loop = LoopingCall.withCount(send_chunks)
        try:
            await loop.start(delay)
        finally:  # Also when the connection is lost, and this is cancelled.
            if loop.running:
                loop.stop()
    # ANCHOR_END: send_slowly

    def received(self, data):
        pass  # What a client sends is discarded.

    def peer_has_finished(self):
        pass  # A client's FIN does not end the poem.

    def is_idle(self):
        return False  # It has its poem, lingers, or is in flight.


class PoemServer(Server):
    def __init__(self, poem, pace, limits):
        super().__init__(PoemConnection, limits)
        self.poem, self.pace = poem, pace
