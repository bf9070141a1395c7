"""A million kernel TCP clients at one ``twistd xtcp`` process: ``make million``.

Real sockets of the kernel connect through a TUN device in a lab, talk, are dropped
and come back, and leave; beside them, in the same run, to the bare responder that
bounds what any stack on such a device can do.  What comes out are a table with the
targets, one file of JSON and a page of plots.

`plan` says what is done, `needs` what the machine has to have, `measure` does it,
`targets` judges, `table` and `page` show.
"""
