"""What the tests share: a scripted TCP peer, its judge, and virtual time."""
