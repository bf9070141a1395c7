"""Somebody who waits costs no Python object."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest

from tests.chat.conftest import Scene

pytestmark = pytest.mark.feature("P36")

MANY = 300


def objects() -> int:
    """Blocks of Python's allocator in use; every int, str and container has at least one."""
    gc.collect()
    return sys.getallocatedblocks()


def visit(scene: Scene, number: int) -> None:
    """Somebody with a name, a room of their own company, a subscription and a note, without a test's peer."""
    chat = scene.chat
    principal = chat._principals.enter(1 << 32 | number)
    for line in (f"/nick n{number}", f"/join r{number % 3}", "/subscribe n0", "/away for good"):
        (first, *_) = chat.commands.answer(principal, line) or []
        assert first.head == "*", first


@pytest.mark.parametrize("leave", [False, True])
def test_idle_users_cost_no_object(make_scene: Callable[..., Scene], leave: bool) -> None:
    scene = make_scene()
    principals = scene.chat._principals
    for number in range(1, 20):  # caches and the like are filled
        visit(scene, number)
    before = objects()
    for number in range(20, 20 + MANY):
        visit(scene, number)
    if leave:
        for number in range(20, 20 + MANY):
            scene.chat._service.leave(principals.of(1 << 32 | number))
    assert objects() - before < MANY / 10
    assert scene.people == 19 + (0 if leave else MANY)


def test_idle_connections_cost_no_object(scene: Scene) -> None:
    """The whole way, with connections of the engine; what the test's own peers cost is taken off."""
    for i in range(10):
        scene.user(f"warm{i}")
    before = objects()
    users = [scene.user(f"user{i}") for i in range(40)]
    for user in users:
        user.hears()
    scene.world.clients.clear()
    scene.world.ladder = type(scene.world.ladder)(scene.world.now)
    del user, users
    assert objects() - before < 40
    assert scene.people == 50
