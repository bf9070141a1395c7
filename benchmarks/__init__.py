"""Benchmarks: XTCP beside Twisted's own reactor, in one run and under one load.

``python -m benchmarks`` (``make bench``) starts one server after the other in a
private network namespace, opens many real kernel TCP connections to each, and
prints what an idle connection costs, how many messages a second go through and
how long they take.  ``python -m benchmarks.loadgen`` is the load generator by
itself.

Knows the servers only from outside: processes with a port.  Nothing of
`xtcp_twisted` is imported here but by the servers that serve with it.
"""
