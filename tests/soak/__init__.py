"""The soak: mixed functions on a real server, for minutes, under faults and kills. `nox -s soak`."""
