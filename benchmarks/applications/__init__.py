"""The one application that every server of the benchmark serves: an echo.

Whatever arrives goes back unchanged.  Here it is an ordinary Twisted protocol,
which XTCP and Twisted's own reactor serve alike, and one for asyncio; the XTCP
group protocol is `examples.echo`.
"""
