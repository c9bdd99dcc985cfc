"""The server for tests, under the name of the module that the official package has it in."""

from stepserve_core.dev_server import DevServer, server

__all__ = ["DevServer", "server"]
