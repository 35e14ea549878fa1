"""The bounded memory of keys."""

from dmoa.core.recent import Recent


def test_the_last_keys_are_remembered_whatever_came_before():
    recent = Recent(3)
    for key in range(20):
        assert recent.add(key)
        assert not any(recent.add(last) for last in range(max(0, key - 2), key + 1))


def test_no_more_than_twice_the_size_is_remembered():
    recent = Recent(3)
    for key in range(20):
        recent.add(key)
    assert recent.add(20 - 2 * 3 - 1)


def test_a_repeated_key_does_not_push_others_out():
    recent = Recent(2)
    assert [recent.add(key) for key in "abbbbba"] == [True, True, *[False] * 5]
