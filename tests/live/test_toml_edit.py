"""Keys of a file are changed, everything else stays; what cannot be changed so is refused."""

from __future__ import annotations

import tomllib

import pytest

from dmoa.errors import ScenarioError
from dmoa.live.toml_edit import edit_toml

WRITTEN = """\
# A cluster.
name = "ring # 1"

[service]  # what a task takes
distribution = "exponential"  # until measured
service_time_s = 5.0  # mean

# How many at once.
[station]
slots = 1
speedup = [
  1.0,  # alone
  1.5,
]

[live.peers."a b"]
note = '''
[station]
slots = 7
'''
"""
VALUES = {
    "service.distribution": "tokens",
    "service.base_s": 0.5,
    "station.speedup": [1.0, 1.2],
    "host.cores": 2.0,
}


def test_keys_are_replaced_added_and_removed_and_the_rest_stays():
    edited = edit_toml(WRITTEN, VALUES, ["service.service_time_s", "service.cv"], path="f")
    assert (
        edited
        == """\
# A cluster.
name = "ring # 1"

[service]  # what a task takes
distribution = "tokens"  # until measured
base_s = 0.5

# How many at once.
[station]
slots = 1
speedup = [1.0, 1.2]

[live.peers."a b"]
note = '''
[station]
slots = 7
'''

[host]
cores = 2.0
"""
    )


def test_doing_it_again_changes_nothing():
    once = edit_toml(WRITTEN, VALUES, path="f")
    assert edit_toml(once, VALUES, path="f") == once


def test_an_empty_file_gets_its_tables():
    assert tomllib.loads(edit_toml("", VALUES, path="f"))["host"] == {"cores": 2.0}


def test_a_hash_in_a_text_is_no_comment():
    edited = edit_toml("[a]\nb = 'x # y' # z\n", {"a.b": "new"}, path="f")
    assert edited == '[a]\nb = "new" # z\n'
    assert edit_toml("[a]\nb = 'x # y'\n", {"a.b": 1}, path="f") == "[a]\nb = 1\n"


def test_dotted_keys_are_replaced_where_they_stand():
    assert edit_toml("a.b = 1\n", {"a.b": 2}, path="f") == "a.b = 2\n"


LONG_TEXT = """\
[a]
b = '''
[service]
base_s = 1
'''
[service]
base_s = 1
"""


def test_tables_inside_a_text_stay():
    edited = edit_toml(LONG_TEXT, {"service.distribution": "tokens"}, path="f")
    assert edited == LONG_TEXT + 'distribution = "tokens"\n'


@pytest.mark.parametrize(
    "text",
    ["service = {base_s = 1.0}\n", "service.base_s = 1.0\n"],
    ids=["braces", "dotted keys, to which one is added"],
)
def test_what_cannot_be_changed_line_by_line_is_refused(text: str):
    with pytest.raises(ScenarioError, match=r"service\.distribution cannot be changed") as refused:
        edit_toml(text, {"service.distribution": "tokens"}, path="f.toml")
    assert refused.value.path == "f.toml"
    assert "[station]" in refused.value.remedy
