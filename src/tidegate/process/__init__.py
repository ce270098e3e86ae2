"""Master and children: a model comes in, running workers that accept connections come out.

Read `master` first (start, signals, stop), then `supervisor` (children and their replacement),
`channel` (what the two say to each other), `child` and `worker` (the other end).
"""
