"""The server's side of Connect: workers that hold a WebSocket open and are called over it (executor.md 9)."""
