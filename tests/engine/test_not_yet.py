"""Parts of the surface that a later version brings: they say so, and change nothing."""

from __future__ import annotations

import pytest
from support.net import Net

from xtcp_twisted.errors import NotSupported


@pytest.mark.feature("P06")
def test_sharing_a_port(net: Net) -> None:
    with pytest.raises(NotSupported, match="share"):
        net.pool.open_group(7, share=True)
    assert net.pool.groups() == ()
    net.group(7)
