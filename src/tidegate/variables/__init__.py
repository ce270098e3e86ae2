"""Variables: a text with `$names` comes in, a function of a session goes out.

Read `template.py` first; `names.py` lists the names that there are. `computed.py` is about those
that a configuration defines, by `map.py`, `geo.py`, `split_clients.py` and `set`.
"""
