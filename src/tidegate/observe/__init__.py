"""What operators read: the error log and the access log.

In come messages and finished sessions; out go lines in files. Nothing that a client sent gets
there unescaped. Read `error_log.py` first.
"""
