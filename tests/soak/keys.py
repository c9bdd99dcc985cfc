"""The keys of the soak: with them, calls whose body or clock is wrong are refused, as they are in production."""

SIGNING_KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
EVENT_KEY = "soak"
