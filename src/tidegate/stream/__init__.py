"""The phases of a connection for the servers of `stream {}`.

In come the model, the engine and the scoreboard's groups; out go outcomes for the engine and lines
for the logs. Read `session.py` first: a connection's life stands there in order.
"""
