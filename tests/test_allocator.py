"""Memory that is kept: the setting is taken where it can be, and harmless elsewhere."""

import platform

import pytest

from badsad_lib import _allocator


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_glibc_takes_the_setting():
    _allocator.keep_freed_memory.cache_clear()
    assert _allocator.keep_freed_memory() is True


def test_other_systems_are_left_alone(monkeypatch):
    _allocator.keep_freed_memory.cache_clear()
    monkeypatch.setattr(_allocator.sys, "platform", "darwin")
    assert _allocator.keep_freed_memory() is False
    _allocator.keep_freed_memory.cache_clear()
