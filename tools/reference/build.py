"""Builds the reference: prepares sources, then lets pydoctor read and write."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydoctor import driver, model

from tools.reference.public import PUBLIC
from tools.reference.sources import prepare
from xtcp_twisted import __version__


def build(root: Path, output: Path, *, names: Iterable[str] = PUBLIC) -> model.System:
    """Write the reference as HTML.

    :param root: the repository.
    :param output: the folder of the pages; what is in it is replaced.
    :param names: what to cover (modules).
    :return: pydoctor's system; its `violations` are the warnings, which it has printed.
    """
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        package = prepare(root, Path(folder), names)
        system = driver.get_system(
            model.Options.from_args(
                [
                    "--system-class=tools.reference.model.Reference",
                    "--docformat=restructuredtext",
                    "--project-name=xtcp_twisted",
                    f"--project-version={__version__}",
                    f"--project-base-dir={folder}",
                    f"--html-output={output}",
                    "--theme=readthedocs",
                    "--make-html",
                    "--disable-intersphinx-cache",
                    "--cls-member-order=source",
                    "--quiet",
                    str(package),
                ]
            )
        )
        driver.make(system)
    return system
