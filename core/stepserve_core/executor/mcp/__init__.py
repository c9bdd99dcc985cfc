"""`/mcp`: the executor as a server of the Model Context Protocol, for assistants that send events and look into runs.

Written by hand: what is needed of the protocol is four methods of JSON-RPC, and the library for it brings 25 others.
"""
