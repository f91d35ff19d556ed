"""Netstrings (S2): an incremental decoder, and an encoder.

Twisted's own `NetstringReceiver` suits the clients, which use it. It does not suit a server that keeps S4 to S7: at an error it closes
the connection by itself, which resets a peer whose input is unread and so may destroy earlier replies; it hands over every request of
a read, whether or not the peer takes the replies; and for each of them it copies the rest of the read.
"""


class FramingError(Exception):
    """The bytes are not a netstring, or a longer one than allowed."""


# ANCHOR: decoder
class Decoder:
    """Takes bytes as they come, and returns the netstrings in them. An announced length allocates nothing."""

    def __init__(self, length_max):
        self._length_max = length_max
        self._header_max = len(str(length_max)) + 1
        self._buffer = bytearray()

    def feed(self, data):
        self._buffer += data

    def has_partial(self):
        """Whether a netstring has begun and is not complete; only meaningful once `next` has returned None."""
        return bool(self._buffer)

    def next(self):
        """Returns the next payload, or None if it is not complete. Fails at the first byte that cannot be right."""
        digits, colon, _ = bytes(self._buffer[: self._header_max]).partition(b":")
        if digits:
            if not digits.isdigit() or digits[:1] == b"0" and digits != b"0":
                raise FramingError("a length is wrong")
            if int(digits) > self._length_max:
                raise FramingError(f"a length is over {self._length_max} bytes")
        elif colon:
            raise FramingError("a length is missing")
        if not colon:
            return None
        begin = len(digits) + 1
        end = begin + int(digits)
        if len(self._buffer) <= end:
            return None
        if self._buffer[end] != ord(","):
            raise FramingError("a comma is missing")
        payload = bytes(self._buffer[begin:end])
        del self._buffer[: end + 1]  # Moves nothing: a bytearray remembers where it begins.
        return payload
# ANCHOR_END: decoder


def encode(payload):
    return b"%d:%s," % (len(payload), payload)
