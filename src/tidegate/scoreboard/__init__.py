"""What all processes of one instance know together: counters, failures, whose turn it is.

In go the sizes of the board and, from each worker, its choices and counts; out come a memfd that
children attach to, and choices that all workers make as one. Read `board.pyi` and `group.pyi`
first, then `layout.pxd` for what lies where and `journal.pxd` for why a process may die at any
instruction.
"""
