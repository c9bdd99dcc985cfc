"""`stepserve doctor`: why a server and an app do not work together, and what to change.

`looks` asks both and writes down what they answer; `findings`, `server_checks` and `app_checks` judge that, without
I/O; `command` prints the judgement.
"""
