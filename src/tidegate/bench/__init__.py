"""The load generator `tidegate bench`: a plan comes in, counts and latencies go out.

Compiled, one thread, one epoll descriptor. Read `main` for the options, then `generator.pyx`: the
loop; `client.pyx` is the life of one of its connections, `output.pyx` what it sends.
"""
