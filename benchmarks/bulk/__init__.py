"""Bulk streams: how fast one connection is, each way, compared with the bare device and with kernel TCP.

``python -m benchmarks bulk`` starts one server after the other in a private network
namespace, has one kernel TCP client send to it and then receive from it, as fast as
it goes, and prints the rates beside each other.

Modules: `sides` has the servers, `rounds` measures them in turn, `table` says what
came out, `command` is the command line.  The programs in C are in ``benchmarks/programs/``.
"""
