"""The token file: made well, and trusted only if it is (checklist, row 14)."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xtcp_console import tokenfile
from xtcp_twisted.errors import ConfigurationError

GOOD = "0123456789abcdef0123456789abcdef"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "token"


def refused(file: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        tokenfile.token(file)
    return str(caught.value)


def test_it_is_made_with_256_bits_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "run" / "xtcp" / "token"
    umask = os.umask(0)  # nothing but the mode that was asked for
    try:
        text = tokenfile.token(file)
    finally:
        os.umask(umask)
    assert len(text) == 43  # 32 bytes in base64
    assert file.read_text() == text + "\n"
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert list(file.parent.iterdir()) == [file]


def test_it_is_kept(file: Path) -> None:
    assert tokenfile.token(file) == tokenfile.token(str(file))


def test_each_is_another(tmp_path: Path) -> None:
    assert len({tokenfile.token(tmp_path / str(i)) for i in range(20)}) == 20


def test_several_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for i in range(20):
            assert len(set(pool.map(tokenfile.token, [tmp_path / str(i)] * 8))) == 1


def test_a_folder_that_is_there_stays_as_it_is(file: Path) -> None:
    file.parent.chmod(0o755)
    tokenfile.token(file)
    assert mode(file.parent) == 0o755


@pytest.mark.parametrize("permissions", [0o640, 0o620, 0o604, 0o602, 0o644, 0o666, 0o610, 0o601])
def test_one_that_others_may_open_is_refused(permissions: int, file: Path) -> None:
    file.write_text(GOOD)
    file.chmod(permissions)
    assert f"others may open it (mode {permissions:04o}); remove it, and a new one is made" in refused(file)


def test_one_of_somebody_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenfile.token(file)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert f"it belongs to user {os.getuid()}, and this is user 12345; run this as its owner" in refused(file)


@pytest.mark.parametrize("text", ["", "\n", "short", GOOD[:-1], f"{GOOD} {GOOD}", "é" * 40, "x" * 2_000])
def test_one_without_a_token_is_refused(text: str, file: Path) -> None:
    file.write_text(text)
    file.chmod(0o600)
    message = refused(file)
    assert "does not hold a token" in message
    assert "remove it, and a good one is made" in message
    assert text.strip() == "" or text.strip() not in message


def test_one_written_by_hand_is_taken(file: Path) -> None:
    file.write_text(f"  {GOOD}\n\n")
    file.chmod(0o400)
    assert tokenfile.token(file) == GOOD


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_refused(there: bool, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    if there:
        tokenfile.token(target)
    file.symlink_to(target)
    assert "it is a symbolic link; give another path" in refused(file)
    assert target.exists() is there


def test_a_pipe_is_refused_and_not_waited_for(file: Path) -> None:
    os.mkfifo(file, 0o600)
    assert "it is no regular file" in refused(file)


def test_a_folder_is_refused(file: Path) -> None:
    file.mkdir(mode=0o700)
    assert "it is no regular file" in refused(file)


def test_a_path_that_cannot_be_is_refused(file: Path) -> None:
    file.write_text("")
    assert "Not a directory; give another path" in refused(file / "below")


def test_the_message_names_the_key_and_the_file(file: Path) -> None:
    file.write_text("short")
    assert refused(file).startswith(f"token_file: {file}: ")


def test_nothing_is_left_when_it_cannot_be_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    assert "No space left on device" in refused(file)
    assert list(file.parent.iterdir()) == []


def test_it_is_made_where_python_can_load_nothing_more(file: Path) -> None:
    """As after `--uid`, when the interpreter lies in a folder of root's."""
    program = """
import encodings, sys
from xtcp_console import tokenfile
encodings.__path__ = []
sys.modules.pop("encodings.ascii", None)
print(tokenfile.token(sys.argv[1]))
"""
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program, file],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.stdout.strip() == file.read_text().strip()
