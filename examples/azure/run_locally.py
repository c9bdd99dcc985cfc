"""Run the function app on this machine where `func start` is not installed.

`python examples/azure/run_locally.py`; HOST and PORT say where to listen. It calls the one HTTP trigger of the app for
every path, on one event loop, as Azure's worker does, and knows nothing of other triggers, keys or settings.
"""

import asyncio
import importlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from azure.functions import HttpRequest

(function,) = importlib.import_module("function_app").app.get_functions()
main = function.get_user_function()
loop = asyncio.new_event_loop()


class Host(BaseHTTPRequestHandler):
    """Hands each request to the function."""

    def do_POST(self) -> None:
        """Call the function."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = f"http://{self.headers['host']}{self.path}"
        request = HttpRequest(self.command, url, headers=dict(self.headers), body=body)
        response = asyncio.run_coroutine_threadsafe(main(request, None), loop).result()
        self.send_response(response.status_code)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.get_body())))
        self.end_headers()
        self.wfile.write(response.get_body())

    do_GET = do_PUT = do_POST  # noqa: N815 - the names that http.server looks for


if __name__ == "__main__":
    threading.Thread(target=loop.run_forever, daemon=True).start()
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "7071"))
    ThreadingHTTPServer(address, Host).serve_forever()
