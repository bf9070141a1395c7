"""Links: where the engine's IP packets come from and go to."""
