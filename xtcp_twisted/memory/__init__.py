"""Memory: the arena and what is carved from it.  Knows no TCP."""
