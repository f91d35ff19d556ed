"""The transform server (S3, S4): answers `NAME.POEM` with the transformed poem. Beside callbacks/src/transform_server.rs."""

import time

from twisted.internet.threads import deferToThread

from netstring import encode
from netstring_server import NetstringServer, Refused


def reverse(poem):
    """The lines in reverse order."""
    body, newline = (poem[:-1], "\n") if poem.endswith("\n") else (poem, "")
    return "\n".join(reversed(body.split("\n"))) + newline


def gibberish(poem):
    raise Refused("transform_failed", "gibberish always fails")


def crash(poem):
    raise RuntimeError("crashed as requested")


def burn(poem):
    """Computes for 10 ms, and so holds up every other connection of the reactor."""
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        pass
    return poem


def overheat(poem):
    return crash(burn(poem))


TRANSFORMS = {b"cummingsify": str.lower, b"shout": str.upper, b"reverse": reverse, b"gibberish": gibberish}
LAB = {b"crash": crash, b"burn": burn, b"overheat": overheat}


HEAVY = {burn, overheat}


class TransformServer(NetstringServer):
    def __init__(self, keep_alive, lab, offload, limits):
        super().__init__(keep_alive, limits)
        self.transforms = TRANSFORMS | (LAB if lab else {})
        self.offloaded = HEAVY if offload else set()

    def answer(self, request):
        name, dot, poem = request.partition(b".")
        if not dot:
            raise Refused("no_dot", "it has no dot")
        transform = self.transforms.get(name)
        if transform is None:
            raise Refused("unknown_transform", f"there is no transform {name[:40]!r}")
        try:
            poem = poem.decode()
        except UnicodeDecodeError:
            raise Refused("not_utf8", "the poem is not UTF-8")
        # ANCHOR: offload
        if transform in self.offloaded:  # In the reactor's pool of threads; the reactor fires the Deferred.
            return deferToThread(transform, poem).addCallback(self.reply)
        return self.reply(transform(poem))
        # ANCHOR_END: offload

    def reply(self, poem):
        reply = poem.encode()
        if len(reply) > self.limits.frame_bytes_max:
            raise Refused("reply_too_long", "the reply is too long")
        return encode(reply)
