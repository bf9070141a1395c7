"""What may stand in a name and in a line, and how lines look."""

from __future__ import annotations

import pytest

from examples.chat.lines import encode, information, listing, message, name_fault, notice, printable, said


@pytest.mark.parametrize(
    "name",
    ["ada", "Ada_1", "x-y", "9", "zo\u00eb", "\u0416\u0443\u043a", "\u30c6\u30b9\u6771", "a" * 32],
)
def test_good_names(name: str) -> None:
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    "name, fault",
    [
        ("", "1 to 32 bytes"),
        ("a b", "1 to 32 bytes"),
        ("<ada>", "1 to 32 bytes"),
        ("a\u202eb", "1 to 32 bytes"),
        ("a" * 33, "1 to 32 bytes"),
        ("\u00eb" * 17, "1 to 32 bytes"),
        ("\uff41da", "write it ada"),
        ("\u0430da", "one script, not Cyrillic and Latin"),
    ],
)
def test_names_that_nobody_can_have(name: str, fault: str) -> None:
    assert fault in name_fault(name)


def test_text_does_not_move_the_cursor_of_others() -> None:
    assert printable("plain") == "plain"
    assert printable("a\tb \x1b[2Jc\x07\u202ed\x9b5me\r") == "a b [2Jcd5me"


def test_lines_tell_what_they_are() -> None:
    lines = [notice("done"), said("tea", "ada", "hello"), message("ada", "psst"), information("ada is OPEN")]
    assert encode(lines, coloured=False).decode().split("\r\n") == [
        "* done",
        "#tea <ada> hello",
        "-ada- psst",
        "~ ada is OPEN",
        "",
    ]


def test_colours_end_before_the_text_of_a_user() -> None:
    assert message("ada", "psst").encode(True) == b"\x1b[1;35m-ada-\x1b[0m psst\r\n"


def test_a_long_listing_says_how_many_are_not_in_it() -> None:
    assert listing(["b", "a"], 2) == "a, b"
    assert listing(["b", "a"], 1_402) == "a, b and 1,400 more"
    assert listing([], 0) == ""
