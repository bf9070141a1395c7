"""Twisted's own tests of stream transports, with kernel clients; for a process in a lab (`test_lab`)."""

from __future__ import annotations

from conformance.groups import classesFor
from conformance.undertest import KernelClients

globals().update(classesFor(KernelClients()))
