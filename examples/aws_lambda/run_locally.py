"""Run the Lambda function on this machine, as a function URL does: HTTP in, events of format 2.0 for the handler.

`python examples/aws_lambda/run_locally.py`; HOST and PORT say where to listen. For your own function change the name of
its module. It is a stand-in for development; AWS describes all fields of an event in "Invoking Lambda function URLs".
"""

import base64
import importlib
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

lambda_handler = importlib.import_module("lambda_function").lambda_handler


class FunctionURL(BaseHTTPRequestHandler):
    """Makes an event of each request, and a response of what the handler returns."""

    def do_POST(self) -> None:
        """Invoke the function."""
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        event: dict[str, Any] = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {name.lower(): value for name, value in self.headers.items()} | {"x-forwarded-proto": "http"},
            "requestContext": {"http": {"method": self.command, "path": path}, "stage": "$default"},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        result = lambda_handler(event, None)
        answer = result["body"].encode()
        self.send_response(result["statusCode"])
        for name, value in {**result["headers"], "content-length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST  # noqa: N815 - the names that http.server looks for


if __name__ == "__main__":
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    ThreadingHTTPServer(address, FunctionURL).serve_forever()
