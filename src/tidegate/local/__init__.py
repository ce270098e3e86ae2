"""Content of our own: files and the status page, as an application of a web framework.

In come a worker's requests (`http/local.py`) over a Unix socket; out go answers for its client, or
verdicts for the worker itself. Runs in the control process alone. Read `application.py` first.
"""
