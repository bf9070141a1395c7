"""Benchmarks: XTCP beside what one would serve with else, in one run and under one load.

``python -m benchmarks`` (``make compare``) starts one server after the other in a
private network namespace, opens many real kernel TCP connections to each, and
prints how many messages a second go through, how long they take, what CPU time
each costs the server and what memory an idle connection; the same goes to the
folder ``results`` as JSON, as markdown and as a picture.  ``python -m
benchmarks.loadgen`` is the load generator by itself.

Knows the servers only from outside: processes with a port.  Nothing of
`xtcp_twisted` is imported here but by the servers that serve with it.
"""
