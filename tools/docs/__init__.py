"""``make docs``: the pages and pictures of docs/ that are made from code, data and tests.

A test compares them with what would be made, so a page that is checked in is never stale.
"""
