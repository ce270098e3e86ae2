"""Configuration: the text of an `nginx.conf` comes in, a frozen `model.Model` goes out.

Read `load.py` first. The way of a text: `lexer` → `parser` → `walk` with the one table of
directives (`grammar`) → `build` → `model`. Whatever is wrong becomes a `diagnostics.Problem`.
"""
