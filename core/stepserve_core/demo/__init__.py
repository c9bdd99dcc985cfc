"""`stepserve demo`: the embedded executor runs the functions of the example apps, and every run is checked.

processes.py   the children: executor and apps, each a real server in a process of its own
scenario.py    what is sent, awaited and collected
expected.py    how every run must end (no I/O)
compare.py     how a run differs from that (no I/O)
report.py      what people and machines are shown
program.py     all of it together
"""
