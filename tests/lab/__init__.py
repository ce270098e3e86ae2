"""The test lab: real programs and plain nodes in temporary folders, for the end-to-end tests.

In come configuration texts and behaviours, out come running programs with logs and counts. Read
`fixtures.py` first: its `lab` fixture is what tests use.
"""
