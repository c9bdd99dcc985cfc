"""`python -m stepserve` is the `stepserve` command."""

from stepserve_core.cli import main

main()
