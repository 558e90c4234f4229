"""The frozen networks that a method names."""

import types

import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.training.frozen import load_host


def test_an_unknown_network_is_one_line():
    with pytest.raises(UserError, match=r"^the method names the frozen network 'x'; lpips or eff"):
        load_host(types.SimpleNamespace(frozen=("x",)))
