"""Tests of the reactor side: real reactors, real engines."""
