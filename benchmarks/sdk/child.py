"""The processes that sdk_call.py starts: a measured web server, a stub event server, a memory probe.

python child.py serve SUBJECT           uvicorn with the subject's FastAPI application; prints its port
python child.py events                  answers every POST as an event API does (protocol.md 8.3); prints its port
python child.py memory SUBJECT FRAMEWORK BODY_FILE    prints MB
python child.py first SUBJECT FRAMEWORK   mounts a function, answers one signed call, and ends
"""

import asyncio
import gc
import socket
import sys
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.sdk import calls
from benchmarks.sdk.measure import memory_status, peak_memory
from benchmarks.sdk.subjects import Framework, application, endpoint

EVENT_ANSWER = b'{"ids":["01M8H7Q1T4XW9R3Z5K7N2B6C8D"],"status":200}'


def serve(subject: str) -> None:
    """Serve the subject's FastAPI application with one uvicorn worker on a free port."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(subject, "fastapi", signed=True), log_level="warning", access_log=False)
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


class EventServer(asyncio.Protocol):
    """Answer each request on a kept-alive connection once its body is complete."""

    def __init__(self) -> None:
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        assert self._transport is not None
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = self._seen[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._seen) < end + 4 + length:
                return
            self._seen = self._seen[end + 4 + length :]
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(EVENT_ANSWER), EVENT_ANSWER)
            )


async def events() -> None:
    """Serve the stub event API on a free port."""
    server = await asyncio.get_running_loop().create_server(EventServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def memory(subject: str, framework: str, body_file: str) -> float:
    """Return the MB by which three large calls raise this process above what it held before, body included before."""
    mount = endpoint(subject, cast("Framework", framework), signed=True)
    body = Path(body_file).read_bytes()
    small = calls.request("field", calls.call_body("bench/field", calls.event_data(calls.EVENT_KB, 0), {}), signed=True)
    large = calls.request("field", body, signed=True)
    for _ in range(3):
        _expect_200(mount.call(small))
    gc.collect()
    before = _peak_reset()
    for _ in range(3):
        _expect_200(mount.call(large))
    return peak_memory() - before


def first(subject: str, framework: str) -> None:
    """Do what a program does until its first signed call is answered."""
    mount = endpoint(subject, cast("Framework", framework), signed=True)
    body = calls.call_body("bench/field", calls.event_data(calls.EVENT_KB, 0), {})
    _expect_200(mount.call(calls.request("field", body, signed=True)))


def _expect_200(answer: calls.Answer) -> None:
    if answer.status != 200 or not calls.is_signed(answer):
        raise SystemExit(f"{answer.status} {answer.body[:80]!r}")


def _peak_reset() -> float:
    """Return the memory held now, in MB; where Linux allows it, make the peak start from here.

    `ru_maxrss` alone would be too kind: it keeps peaks from before, of imports and (across exec) of the parent.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak_memory()
    return memory_status("VmRSS")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", subject]:
            serve(subject)
        case ["events"]:
            asyncio.run(events())
        case ["memory", subject, framework, body_file]:
            print(memory(subject, framework, body_file))
        case ["first", subject, framework]:
            first(subject, framework)
        case _:
            raise SystemExit(__doc__)
