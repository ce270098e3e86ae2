"""Connections of `http {}`, from the first byte of a request to the last of its answer.

In come engine sessions and a model's `Http`; out go outcomes for the engine, requests to nodes and
to the control process, and lines for logs. Read `session.py` first.
"""
