"""What traffic, and later probes, tell about the health of nodes.

In go the numbers of sessions that ended; out comes a line for the log where they have a likely
cause. Failures of connects are counted by `balance`, as nginx counts them. Read `passive` first.
"""
