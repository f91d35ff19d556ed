"""The words of the command line: those of `quatrain` that the programs here know."""

import argparse
import sys
from pathlib import Path

import twisted
from twisted.internet.task import react
from twisted.logger import LogLevel, formatEvent, globalLogBeginner

from library_server import LibraryServer
from poem_client import fetch
from poem_server import PoemServer
from proxy import Proxy
from serving import serve
from transform_server import TransformServer

OFFLOADED_MAX = 4  # Heavy requests that compute at once.
VERSION = f"quatrain-twisted with Twisted {twisted.__version__} on Python {sys.version.split()[0]}"


def seconds(text):
    return float(text.removesuffix("s")) if not text.endswith("ms") else float(text[:-2]) / 1000


def address(text):
    """Returns host and port of `[host:]port`."""
    host, _, port = text.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


def poem_file(path):
    try:
        poem = Path(path).read_bytes()
        poem.decode()
        return poem
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot read the poem {path}: {getattr(error, 'strerror', error)}")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"quatrain-twisted: {message}; see '{self.prog} --help'\n")


def parser():
    program = Parser("quatrain-twisted", description="A poetry client and servers with Twisted")
    program.add_argument("--version", action="version", version=VERSION)
    commands = program.add_subparsers(required=True, metavar="serve|fetch")

    fetches = commands.add_parser("fetch", help="fetch poems, all at once, and print them")
    fetches.add_argument("addresses", nargs="+", type=address, metavar="[HOST:]PORT")
    fetches.add_argument("--transform", metavar="NAME", help="have each poem transformed")
    fetches.add_argument("--via", type=address, metavar="[HOST:]PORT", help="the transform server")
    fetches.set_defaults(run=run_fetch)

    roles = commands.add_parser("serve", help="serve until a signal stops it").add_subparsers(required=True, metavar="ROLE")
    poem = server(roles, "poem", "serve a poem, slowly", make_poem_server)
    poem.add_argument("poem", type=poem_file, metavar="FILE")
    poem.add_argument("--num-bytes", type=int, default=10, metavar="N", help="bytes sent at a time [10]")
    poem.add_argument("--delay", type=seconds, default=0.7, metavar="S", help="time between sends [0.7]")
    poem.add_argument("--fast", action="store_true", help="send it at once")
    transform = server(roles, "transform", "transform poems", make_transform_server)
    transform.add_argument("--lab", action="store_true", help="also offer crash, burn and overheat")
    transform.add_argument("--offload", action="store_true", help="compute burn and overheat in threads")
    library = server(roles, "library", "serve the poems of a directory by name", make_library)
    library.add_argument("library", metavar="DIR")
    for requests in (transform, library):
        requests.add_argument("--keep-alive", action="store_true", help="answer any number of requests")
        requests.add_argument("--frame-bytes-max", type=int, default=99_999, metavar="N")
        requests.add_argument("--idle-timeout", type=seconds, default=60, metavar="S")
        requests.add_argument("--deadline", type=seconds, default=30, metavar="S")
    proxy = server(roles, "proxy", "serve the poem of another server, fetched once", make_proxy)
    proxy.add_argument("upstream", type=address, metavar="[HOST:]PORT")
    proxy.add_argument("--cache-ttl", type=seconds, metavar="S", help="how long a poem is served [for ever]")
    proxy.add_argument("--connect-timeout", type=seconds, default=10, metavar="S")
    proxy.add_argument("--idle-timeout", type=seconds, default=60, metavar="S")
    proxy.add_argument("--deadline", type=seconds, metavar="S")
    proxy.add_argument("--poem-bytes-max", type=int, default=64 << 20, metavar="N")
    return program


def server(roles, name, what, make):
    role = roles.add_parser(name, help=what)
    role.add_argument("--iface", default="127.0.0.1", metavar="ADDRESS", help="an IPv4 address [127.0.0.1]")
    role.add_argument("--port", type=int, default=0, help="0 takes a free one")
    role.add_argument("--connections-max", type=int, default=10_000, metavar="N")
    role.add_argument("--write-timeout", type=seconds, default=30, metavar="S")
    role.add_argument("--grace", type=seconds, default=10, metavar="S", help="for what is in flight at the end [10]")
    role.add_argument("--stats", metavar="FILE", help="where to append counts on SIGUSR1 and at the end")
    role.set_defaults(run=run_server, make=make, name=name)
    return role


# The options are also the limits of the servers.
def make_poem_server(reactor, options):
    pace = None if options.fast else (options.num_bytes, options.delay)
    return PoemServer(options.poem, pace, options)


def make_transform_server(reactor, options):
    reactor.suggestThreadPoolSize(OFFLOADED_MAX)
    return TransformServer(options.keep_alive, options.lab, options.offload, options)


def make_library(reactor, options):
    return LibraryServer(options.library, options.keep_alive, options)


def make_proxy(reactor, options):
    return Proxy(reactor, options.upstream, options.cache_ttl, options)


def run_server(options):
    from twisted.internet import reactor

    serve(options.make(reactor, options), options.name, options)


def run_fetch(options):
    react(fetch, (options,))


def log(event):
    """Twisted logs much; a line of plain words for warnings and errors is enough here."""
    if event["log_level"] >= LogLevel.warn:
        print(formatEvent(event), file=sys.stderr)


def main():
    options = parser().parse_args()
    if options.run is run_fetch and (options.transform is None) != (options.via is None):
        parser().error("--transform and --via belong together")
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
    try:
        options.run(options)
    except OSError as error:  # The directory of a library.
        print(f"quatrain-twisted: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


main()
