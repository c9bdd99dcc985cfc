"""Fuzzing of everything that reads what others wrote: targets, seeds, and the run with atheris (`nox -s fuzz`)."""
