"""Connect: apps that reach the server over a WebSocket, instead of being called by it (protocol.md 12, executor.md 9).

Here are the messages and the worker's side; the server's side is `stepserve_core.executor.connect`.
"""
