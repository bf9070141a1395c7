"""XTCP inside a Twisted reactor: one reader, two ways to write an application.

`stack` ties a link, an engine and a reactor together; `endpoints` serves
ordinary factories, `groups` whole groups of connections in batches; `settings`
and `service` make a ``twistd`` service of a configuration file.
"""
