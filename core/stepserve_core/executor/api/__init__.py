"""The HTTP API (executor.md 1.5 and 1.6): `routes` lists it, the other modules answer, one area each."""
