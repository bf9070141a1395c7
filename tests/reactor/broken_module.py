"""A module that fails when it is imported, as a user's may."""

raise RuntimeError("the database is down")
