"""The command line: words come in, an exit status and text on stderr go out.

Two faces: nginx's switches (`switches`), and verbs (`verbs`). Read `main` first.
"""
