"""Twisted's applications as they are, over XTCP, with clients that know nothing of it."""
