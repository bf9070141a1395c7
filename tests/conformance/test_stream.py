"""Twisted's own tests of stream transports, on the installed reactor and on others through endpoints."""

from __future__ import annotations

import pytest
from conformance.groups import classesFor
from conformance.undertest import EndpointStack, ReactorStack

# What Twisted's tests warn of is Twisted's.
pytestmark = pytest.mark.filterwarnings("ignore")

globals().update(classesFor(ReactorStack()))
globals().update(classesFor(EndpointStack()))
