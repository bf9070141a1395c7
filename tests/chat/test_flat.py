"""The tables against dictionaries and lists that do the same."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.chat.flat import Index, Lists, Relation, Rows, Texts, column


def test_a_column_counts_from_nought_to_its_last_row() -> None:
    numbers = column("I", 3)
    assert list(numbers) == [0, 0, 0, 0]
    numbers[3] = 0xFFFF_FFFF
    assert numbers[3] == 0xFFFF_FFFF
    with pytest.raises(IndexError):
        numbers[4] = 1


def test_rows_are_taken_until_there_are_none() -> None:
    rows = Rows(3)
    assert [rows.take() for _ in range(4)] == [1, 2, 3, 0]
    rows.give(2)
    assert rows.taken == 2
    assert (rows.take(), rows.take()) == (2, 0)


def test_texts_do_not_run_into_each_other() -> None:
    texts = Texts(2, 6)
    texts[1], texts[2] = "zo\u00eb\u00eb", "second"
    assert (texts[0], texts[1], texts[2]) == ("", "zo\u00eb\u00eb", "second")
    texts[1] = ""
    assert (texts[1], texts[2]) == ("", "second")
    with pytest.raises(ValueError, match="'seventh' has 7 bytes; give at most 6"):
        texts[1] = "seventh"


# Keys that share their home are what an index can get wrong; a small table has many.
KEYS = st.integers(1, 40)


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=200))
def test_an_index_finds_what_a_dictionary_finds(calls: list[tuple[bool, int]]) -> None:
    index, model = Index(8), dict[int, int]()
    for number, (puts, key) in enumerate(calls, 1):
        if puts and (key in model or len(model) < 8):
            index.put(key, number)
            model[key] = number
        elif not puts:
            index.drop(key)
            model.pop(key, None)
        assert [index.find(k) for k in range(1, 41)] == [model.get(k, 0) for k in range(1, 41)]


def test_an_index_takes_keys_of_64_bits() -> None:
    index = Index(4)
    index.put(2**64 - 1, 1)
    index.put(0, 2)
    assert (index.find(2**64 - 1), index.find(0), index.find(1)) == (1, 2, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=60))
def test_lists_keep_their_order(calls: list[tuple[int, int]]) -> None:
    """A node that is in a list is taken out of it, any other put at the end of the one named."""
    lists, model = Lists(2, 9), [list[int]() for _ in range(3)]
    for head, node in calls:
        had = next((h for h in range(3) if node in model[h]), None)
        if had is None:
            lists.append(head, node)
            model[head].append(node)
        else:
            lists.remove(had, node)
            model[had].remove(node)
        assert [list(lists.nodes(h)) for h in range(3)] == model
        assert [lists.count(h) for h in range(3)] == [len(nodes) for nodes in model]
        assert [lists.first(h) for h in range(3)] == [nodes[0] if nodes else 0 for nodes in model]


def test_the_node_at_hand_may_be_removed() -> None:
    lists = Lists(0, 5)
    for node in range(1, 6):
        lists.append(0, node)
    for node in lists.nodes(0):
        if node % 2:
            lists.remove(0, node)
    assert list(lists.nodes(0)) == [2, 4]


SIDE = st.integers(1, 4)


@given(st.lists(st.tuples(SIDE, SIDE), max_size=80))
def test_a_relation_is_seen_alike_from_both_sides(calls: list[tuple[int, int]]) -> None:
    """Pairs are made and parted in turn; there is room for ten."""
    relation, model = Relation(4, 4, 10), list[tuple[int, int]]()
    for pair in calls:
        if pair in model:
            assert relation.remove(*pair)
            model.remove(pair)
        else:
            assert relation.add(*pair) == (len(model) < 10)
            model += [pair] if len(model) < 10 else []
        for row in range(1, 5):
            assert list(relation.rights(row)) == [right for left, right in model if left == row]
            assert list(relation.lefts(row)) == [left for left, right in model if right == row]
            assert relation.rights_count(row) == sum(left == row for left, _ in model)
            assert relation.lefts_count(row) == sum(right == row for _, right in model)
    for pair in product(range(5), range(5)):
        assert relation.has(*pair) == (pair in model)
    assert not relation.remove(1, 0)
