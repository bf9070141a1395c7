"""The one application that every server of the benchmark serves: an echo.

Whatever arrives goes back unchanged.  Once as an ordinary Twisted protocol,
which XTCP and Twisted's own reactor serve alike, once as an XTCP group
protocol, and once for asyncio.
"""
