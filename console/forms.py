"""What the console's forms may say, their CSRF tokens aside: `signin` has those of all checked.

Knows nothing of sessions and links.
"""

from __future__ import annotations

import re
from typing import Final

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, RadioField
from wtforms.validators import InputRequired, Length

THEMES: Final = ("auto", "light", "dark")


class LoginForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """``POST /login``."""

    token = PasswordField("Token", validators=[InputRequired(), Length(max=1_024)])
    next = HiddenField()


class ThemeForm(FlaskForm):  # type: ignore[misc]
    """``POST /theme``."""

    theme = RadioField(choices=THEMES)
    next = HiddenField()


def local_path(text: str | None) -> str:
    """Where to go after a form: `text` if it is a path of the console, else the overview.

    Browsers take a backslash for a slash, drop tabs and line breaks, and take two slashes for
    the beginning of another host's name: none of these is let through.
    """
    return text if text and re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", text) else "/"
