"""The library server (S8): poems by name, from a directory that is read again on SIGHUP. Beside callbacks/src/library_server.rs."""

from pathlib import Path

from twisted.logger import Logger

from netstring import encode
from netstring_server import NetstringServer, Refused

NAME_BYTES_MAX = 255


class LibraryServer(NetstringServer):
    log = Logger()

    def __init__(self, directory, keep_alive, limits):
        super().__init__(keep_alive, limits)
        self.directory = Path(directory)
        self.replies = {}  # By the poem's name; whole netstrings, which all connections share.
        self.read_directory()

    def reload(self):
        try:
            self.read_directory()
        except OSError as error:
            self.log.warn("cannot read the library again, and serves it as it was: {error}", error=error)

    def read_directory(self):
        """Replaces all poems at once. What cannot be read is reported, and served as it was."""
        replies = {}
        files = (file for file in self.directory.iterdir() if file.is_file() and not file.name.startswith("."))
        for file in sorted(files):
            name = file.stem.encode()
            try:
                check_name(name)
                if name in replies:
                    raise ValueError("another file has the same name but for its ending")
                poem = file.read_bytes()
                poem.decode()
                if len(poem) > self.limits.frame_bytes_max:
                    raise ValueError("it is too long for a reply")
                replies[name] = encode(poem)
            except (OSError, ValueError, Refused) as error:
                self.log.warn("{file} is not served: {error}", file=str(file), error=error)
                if name in self.replies:
                    replies.setdefault(name, self.replies[name])
        self.replies = replies

    def answer(self, request):
        reply = self.replies.get(request)
        if reply is None:
            check_name(request)
            raise Refused("unknown_poem", f"there is no poem {request.decode()[:40]!r}")
        return reply


def check_name(name):
    """Refuses what is not 1 to 255 bytes of UTF-8 without dots, slashes, backslashes and control characters: a path."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if not 1 <= len(name) <= NAME_BYTES_MAX or not text or any(it in "./\\" or is_control(it) for it in text):
        raise Refused("bad_poem_name", "it is not the name of a poem")


def is_control(character):
    return character < " " or "\x7f" <= character <= "\x9f"
