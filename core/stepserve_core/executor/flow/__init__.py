"""Flow control: what holds runs back, merges them, orders them or drops them (executor.md 7). One concept a module.

In each module the decision is a pure function; beside it stands the one that reads and writes the tables, inside the
transaction of the event or the claim that asks. `options` says what a function wants, `schedule.py` applies it to an
event in the order of executor.md 7.1, and `admission` to a claimed item.
"""
