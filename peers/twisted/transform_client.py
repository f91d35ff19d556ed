"""The transform client (S13): sends a poem to a transform server, and receives its transform. Beside callbacks/src/transform_client.rs."""

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionDone, DNSLookupError
from twisted.protocols.basic import NetstringReceiver

CONNECT_SECONDS, REPLY_SECONDS = 10, 60


class TransformFailed(Exception):
    """No transform came; says why in words."""


# ANCHOR: transform_protocol
class TransformProtocol(NetstringReceiver):
    """Sends one request; `reply` fires with the reply. `NetstringReceiver` checks the frame, and closes if it is wrong."""

    def __init__(self, request):
        self.request = request
        self.has_data = False
        self.reply = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self):
        self.sendString(self.request)

    def dataReceived(self, data):
        self.has_data = True
        super().dataReceived(data)

    def stringReceived(self, reply):
        if not self.reply.called:
            self.reply.callback(reply)
            self.transport.loseConnection()

    def connectionLost(self, reason):
        if not self.reply.called:
            self.reply.errback(TransformFailed(self.why(reason)))

    def why(self, reason):
        if self.brokenPeer:
            return "garbled: the reply is not a netstring"
        if not reason.check(ConnectionDone):
            return "connection lost"
        return "cut short: closed in mid-reply" if self.has_data else "refused: closed without a reply"
# ANCHOR_END: transform_protocol


# ANCHOR: transform
async def transform(reactor, host, port, name, poem):
    """Returns the transform of `poem` by the server at `host` and `port`."""
    request = f"{name}.{poem}".encode()
    if len(request) > NetstringReceiver.MAX_LENGTH:
        raise TransformFailed("the poem is too long for a request")
    endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_SECONDS)
    try:
        protocol = await connectProtocol(endpoint, TransformProtocol(request))
        return (await protocol.reply.addTimeout(REPLY_SECONDS, reactor)).decode()
    except (ConnectError, DNSLookupError) as error:
        raise TransformFailed(f"connection failed: {error}") from error
    except TimeoutError as error:
        raise TransformFailed(f"timed out: no reply came within {REPLY_SECONDS} s") from error
    except UnicodeDecodeError as error:
        raise TransformFailed("garbled: the reply is not UTF-8") from error
# ANCHOR_END: transform
