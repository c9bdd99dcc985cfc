"""Realtime: messages to whoever has subscribed (executor.md 10). Nothing is stored: who is not there misses them.

`tokens` lets subscribers in, `broker` passes messages on.
"""
