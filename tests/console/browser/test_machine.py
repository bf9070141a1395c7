"""A machine without a browser: what is installed, said, skipped or failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import chromium

ROOT = Path(__file__).parents[3]


def packages(folder: Path, *programs: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``tools/debian-packages browser`` where only `programs` are installed."""
    for name in ("bash", *programs):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return subprocess.run(
        [ROOT / "tools" / "debian-packages", "browser"],
        check=False,
        env={"PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_missing_package_is_named(tmp_path: Path) -> None:
    done = packages(tmp_path)
    assert done.returncode == 1
    assert "Please install" in done.stderr
    assert "chromium" in done.stderr


def test_a_failed_installation_names_it_too(tmp_path: Path) -> None:
    (tmp_path / "apt-get").symlink_to("/bin/false")
    done = packages(tmp_path, "env", "id")
    assert done.returncode == 1
    assert "chromium" in done.stderr.splitlines()[-1]


def test_a_named_browser_needs_no_package(tmp_path: Path) -> None:
    if not Path("/usr/share/fonts/opentype/inter").exists():
        pytest.skip("fonts-inter is not installed")
    done = packages(tmp_path, XTCP_BROWSER="/opt/chrome")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("required, result", [("0", "1 skipped"), ("1", "1 error")])
def test_tests_without_a_browser(tmp_path: Path, required: str, result: str) -> None:
    """They say what to install; where a browser is required they fail, as in CI."""
    probe = ROOT / "tests" / "console" / "browser" / "test_figures.py"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "change_by_themselves",
            str(probe),
        ],
        check=False,
        cwd=ROOT,
        env=os.environ | {"XTCP_BROWSER": str(tmp_path / "none"), "XTCP_REQUIRE_BROWSER": required},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result in done.stdout.splitlines()[-1]
    assert chromium.MISSING in done.stdout
