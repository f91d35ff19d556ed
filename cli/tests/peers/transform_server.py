#!/usr/bin/env python3
"""A transform server on asyncio: the rules of SEMANTICS.md in another language, to be checked and measured beside the models.

    quatrain check transform -- python3 cli/tests/peers/transform_server.py {port} {mode}

It has no counters, limits, deadlines or orderly stop, so cases about those (S16, S18, S21, S23) are skipped.
"""

import argparse
import asyncio
import time

FRAME_BYTES_MAX = 99_999
LINGER_SECONDS, LINGER_BYTES = 5, 16 << 20


class Refused(Exception):
    """The request is answered by closing the connection (S4)."""


def reverse(poem):
    body, newline = (poem[:-1], "\n") if poem.endswith("\n") else (poem, "")
    return "\n".join(reversed(body.split("\n"))) + newline


def burn(poem):
    """Computes for 10 ms, and so blocks every other connection."""
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        pass
    return poem


def crash(poem):
    raise RuntimeError("crashed as requested")


TRANSFORMS = {"cummingsify": str.lower, "shout": str.upper, "reverse": reverse}
LAB = {"burn": burn, "crash": crash}


async def read_netstring(reader, takes_leading_zeros):
    """Returns the next netstring's bytes, or None after the last one. Refuses at the first wrong byte (S2)."""
    digits = b""
    while (byte := await reader.read(1)) != b":" or not digits:
        if not byte and not digits:
            return None
        has_zero = digits == b"0" and not takes_leading_zeros
        if not byte.isdigit() or has_zero or int(digits + byte) > FRAME_BYTES_MAX:
            raise Refused
        digits += byte
    payload = await reader.readexactly(int(digits))
    if await reader.readexactly(1) != b",":
        raise Refused
    return payload


def answer(request, transforms):
    """Returns the reply to `NAME.POEM` (S3)."""
    name, dot, poem = request.partition(b".")
    try:
        reply = transforms[name.decode("ascii")](poem.decode("utf-8")).encode("utf-8")
    except Exception as error:  # Whatever is wrong with one request ends its connection and no other (S20).
        raise Refused from error
    if not dot or len(reply) > FRAME_BYTES_MAX:
        raise Refused
    return b"%d:%s," % (len(reply), reply)


async def linger(reader, writer):
    """Finishes sending, and reads what still comes, so that unread input destroys no reply (S7)."""
    writer.write_eof()
    left = LINGER_BYTES
    while left > 0 and (drained := await reader.read(1 << 16)):
        left -= len(drained)


async def serve(reader, writer, options):
    transforms = TRANSFORMS | LAB if options.lab else TRANSFORMS
    try:
        try:
            while (request := await read_netstring(reader, options.wrong)) is not None:
                writer.write(answer(request, transforms))
                await writer.drain()  # Reads no further request while the client does not take this reply (S5).
                if not options.keep_alive:
                    break
        except (Refused, asyncio.IncompleteReadError):
            pass
        await asyncio.wait_for(linger(reader, writer), LINGER_SECONDS)
    except (OSError, asyncio.TimeoutError):
        pass  # The client has gone, or stays too long.
    finally:
        writer.close()


async def main(options):
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, options), "127.0.0.1", options.port, backlog=4096
    )
    host, port = server.sockets[0].getsockname()
    print(f"Serving transforms on {host}:{port} with asyncio", flush=True)
    await server.serve_forever()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("port", type=int, help="0 takes a free one")
parser.add_argument("role", choices=["transform"])
parser.add_argument("--keep-alive", action="store_true")
parser.add_argument("--lab", action="store_true", help="also offer burn and crash")
parser.add_argument("--wrong", action="store_true", help="take lengths with leading zeros, which S2 forbids")
try:
    asyncio.run(main(parser.parse_args()))
except KeyboardInterrupt:
    pass
