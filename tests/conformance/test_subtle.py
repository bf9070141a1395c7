"""The subtle behaviour of transports, over XTCP and over Twisted's own TCP."""

from __future__ import annotations

import pytest
from conformance.groups import casesOf
from conformance.subtle import Subtle
from conformance.undertest import EndpointStack, KernelStack, ReactorStack

# What Twisted warns of is Twisted's.
pytestmark = pytest.mark.filterwarnings("ignore")

for stack in (ReactorStack(), EndpointStack(), KernelStack()):
    globals().update(casesOf(Subtle, stack))
