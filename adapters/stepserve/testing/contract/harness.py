"""What a framework must offer so that the contract suite can run over it.

A new framework costs one module with a subclass of `Harness`, and one row in the table of `tests/contract/conftest.py`.
Where frameworks differ, the difference is a class attribute here, so that a test can say what it expects.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple

from stepserve import Function, Inngest

Body = bytes | Sequence[bytes]
"""A body; in pieces, it is sent with chunked transfer encoding."""

Headers = Sequence[tuple[str, str | bytes]]

OTHER_METHODS = frozenset({"DELETE", "OPTIONS", "PATCH", "TRACE"})
"""What is refused."""


class Reply(NamedTuple):
    """What came back; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class Sender:
    """Sends requests to a real server, one connection each, and adds nothing to them but what HTTP needs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"

    def __call__(self, method: str, path: str, body: Body = b"", headers: Headers = ()) -> Reply:
        """Send one request, and wait for the reply."""
        with self.begin(method, path, body, headers) as connection:
            response = connection.getresponse()
            received = response.read()
            return Reply(response.status, _by_name(response), received)

    @contextlib.contextmanager
    def begin(
        self, method: str, path: str, body: Body = b"", headers: Headers = ()
    ) -> Generator[http.client.HTTPConnection, None, None]:
        """Send one request and give its connection, which closes at the end, answered or not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            given = {name for name, _ in headers}
            connection.putrequest(method, path, skip_accept_encoding=True, skip_host="host" in given)
            for name, value in headers:
                connection.putheader(name, value)
            if isinstance(body, bytes):
                if (body or method in ("POST", "PUT")) and "content-length" not in given:
                    connection.putheader("content-length", str(len(body)))
                connection.endheaders(body)
            else:
                connection.putheader("transfer-encoding", "chunked")
                connection.endheaders(iter(body), encode_chunked=True)
            yield connection


def _by_name(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


class Harness(ABC):
    """One framework on the server that its users run."""

    FRAMEWORK: ClassVar[str]
    """The framework's name on the wire."""

    CALLS_FROM_LOOP: ClassVar[bool]
    """Whether requests are served on an event loop; then `def` functions run in threads of their own."""

    STREAMS: ClassVar[bool] = True
    """Whether a long call can be kept alive with bytes; otherwise `serve()` refuses `Streaming.FORCE`."""

    ENDS_STREAMED_CALLS: ClassVar[bool] = False
    """Whether a streamed call of an `async def` function is cancelled when its connection ends.

    Otherwise it runs to its end, as all others do: the app is not told, or the function runs beside a thread.
    """

    DECODES_GZIP: ClassVar[bool] = False
    """Whether the server or the framework unpacks bodies with `content-encoding: gzip` before the app sees them."""

    FORWARDED_BY_DEFAULT: ClassVar[frozenset[str]] = frozenset()
    """What the server believes of X-Forwarded-* headers from 127.0.0.1 unasked: of "proto", "host", "prefix"."""

    FORWARDED_IF_TRUSTED: ClassVar[frozenset[str]] = frozenset()
    """What `serve_behind_proxy` believes; empty: neither server nor framework can be told to trust a proxy."""

    PARSES_FORMS: ClassVar[bool] = False
    """Whether the framework refuses a body that its content type calls a multipart form and that is none.

    No server of ours sends such a thing. All others give the body to the app as it is.
    """

    KEEPS_CONTEXT: ClassVar[bool] = True
    """Whether context variables that the framework's own hooks set before a request are visible to its views."""

    HEADER_SEPARATOR: ClassVar[str | None] = None
    """What the server joins headers of the same name with; None: it keeps them apart, and the first counts."""

    ANSWERS_OPTIONS: ClassVar[bool] = False
    """Whether the framework answers OPTIONS by itself; otherwise the method is refused as others are."""

    REFUSES: ClassVar[frozenset[str]] = frozenset()
    """Methods that the framework refuses by itself, because it knows that the path has GET, POST and PUT only.

    All other methods reach the adapter, whose refusal says who answers with `x-inngest-sdk-handled`.
    """

    @abstractmethod
    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return an app that serves `functions`, and calls `before_request` before each request."""

    @abstractmethod
    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve an app on a free port of 127.0.0.1, and give the port."""

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> Mapping[str, Any]:
        """Return apps that serve `functions` at `prefix` and the usual path, by the names of the ways to do that.

        Such as a blueprint, a mounted app, SCRIPT_NAME or root_path. None at all: the framework knows no prefixes.
        """
        del prefix, client, functions
        return {}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as `serve` does, but set up, as its users would do it, to trust a proxy at 127.0.0.1.

        By options of the server, or by the framework's own middleware around `app`.
        """
        del app
        raise NotImplementedError(f"{type(self).__name__} declares FORWARDED_IF_TRUSTED without serve_behind_proxy()")

    @contextlib.contextmanager
    def mount(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        *,
        before_request: Callable[[], None] | None = None,
        **options: Any,
    ) -> Generator[Sender, None, None]:
        """Build and serve; `options` are those of the adapter's `serve()`."""
        with self.serve(self.build(client, functions, before_request, **options)) as port:
            yield Sender(port)
