"""Sections of a config that are single values, and overrides of empty tuples."""

import pytest
from ml_collections import ConfigDict

from ddgan_jax.config.fields import complete, number
from ddgan_jax.config.overrides import override
from ddgan_jax.config.stored import with_current_names
from ddgan_jax.core.errors import UserError
from ddgan_jax.spaces import find_space


def test_a_value_in_place_of_a_section_is_named_in_full():
    fields = {"optim.gen.learning_rate": number(1.0)}
    for config, path in (({"optim": 3}, "optim"), ({"optim": {"gen": 3}}, "optim.gen")):
        with pytest.raises(UserError, match=rf"^config\.{path} is 3; a section with optim"):
            complete(ConfigDict(config), fields)
    with pytest.raises(UserError, match=r"^config\.space is 'wavelet'; a section with space\.kind"):
        find_space(ConfigDict({"space": "wavelet"}))
    assert with_current_names(ConfigDict({"difgan": 3})).difgan == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [("wandb", ("wandb",)), ("1,2", (1, 2)), ("1.5,2", (1.5, 2)), ("()", ()), ("a,1", ("a", 1))],
)
def test_items_of_an_empty_tuple_are_what_they_look_like(text, value):
    config = ConfigDict({"levels": ()})
    found = override(config, {"levels": text})
    assert found.levels == value and list(map(type, found.levels)) == list(map(type, value))
