"""HTTP: from a request's head to the location that serves it, and from there to a node or a text.

In: what the engine read of a client and of the node that it was sent to. Out: outcomes for the
engine, lines for the logs. Begin with `session.py`; `locations.py` says who serves what,
`proxy_heads.pyx` and `proxy_response.py` what is sent on.
"""
