"""Peers of upstreams, and the methods that pick one.

In go the upstreams of the model and the board that all workers share; out come an index into the
peers for a session that wants one, and the news that a peer went out of service. Read `upstream`
first, then `method` and `round_robin`: each method has a file of its name. `placement` is the
master's, it says which rows of the board each peer has.
"""
