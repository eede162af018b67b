"""Programs that are compiled once: found again by JAX, and never in the way."""

import logging
import os
import pwd
import shutil

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache as of_jax

from jax_bioadv import compilation_cache
from jax_bioadv.compilation_cache import compiling_afresh, keep_compiled_programs

NAMES = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    """JAX as it starts, and as it was again afterwards."""
    before = {name: jax.config.values[name] for name in NAMES}
    jax.config.update(NAMES[0], None)
    monkeypatch.delenv("JAX_BIOADV_COMPILED", raising=False)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    of_jax.reset_cache()


@pytest.fixture
def compilations():
    """Compiles a small program as a new process would; gives how many of its programs the cache had not."""
    events = []
    jax.monitoring.register_event_listener(lambda event, **more: events.append(event))

    def count(factor):
        events.clear()
        jax.jit(lambda x: factor * jnp.sin(x) @ x)(jnp.ones((3, 3))).block_until_ready()
        return events.count("/jax/compilation_cache/cache_misses")

    yield count
    jax.monitoring.clear_event_listeners()


def test_a_program_is_compiled_once(tmp_path, compilations):
    folder = keep_compiled_programs(tmp_path)
    assert folder is not None
    assert compilations(2.0) > 0
    assert list(folder.glob("jit__lambda*-cache"))
    assert compilations(2.0) == 0
    assert compilations(3.0) > 0, "another program"


def test_a_test_run_finds_a_program_in_another_folder_too(tmp_path, compilations):
    """As tests/conftest.py has it: neither the folder nor the number of the process is a part of a program's name."""
    first = keep_compiled_programs(tmp_path / "one")
    assert compilations(2.0) > 0
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    assert keep_compiled_programs(tmp_path / "other") != first
    assert compilations(2.0) == 0


@pytest.mark.parametrize("by", ["argument", "variable", "XDG", "home"])
def test_where_the_programs_lie(tmp_path, monkeypatch, by):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    place = {"XDG": "xdg/jax-bioadv/compiled", "home": ".cache/jax-bioadv/compiled"}.get(by, "mine")
    if by == "variable":
        monkeypatch.setenv("JAX_BIOADV_COMPILED", "~/mine")
    if by == "XDG":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = keep_compiled_programs("~/mine" if by == "argument" else None)
    assert folder is not None
    assert folder.parent == tmp_path / place
    assert jax.config.values[NAMES[0]] == str(folder)


def test_another_processor_has_a_folder_of_its_own(tmp_path, monkeypatch):
    mine = keep_compiled_programs(tmp_path)
    monkeypatch.setattr(compilation_cache.platform, "machine", lambda: "other")
    assert keep_compiled_programs(tmp_path) != mine


def test_off_keeps_nothing_and_a_folder_given_to_jax_stays(tmp_path, monkeypatch):
    assert keep_compiled_programs("off") is None
    monkeypatch.setenv("JAX_BIOADV_COMPILED", "")
    jax.config.update(NAMES[0], str(tmp_path))
    assert keep_compiled_programs() == keep_compiled_programs("off") == tmp_path


def test_times_of_compiling_are_measured_without_it(tmp_path, compilations):
    keep_compiled_programs(tmp_path)
    compilations(2.0)
    with compiling_afresh():
        assert compilations(5.0) == 0, "it is not even asked"
    assert compilations(5.0) > 0
    assert compilations(5.0) == 0


@pytest.mark.parametrize("why", ["a file is there", "no home"])
def test_where_nothing_can_be_kept_a_line_says_so_and_all_goes_on(tmp_path, monkeypatch, caplog, compilations, why):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if why == "no home":
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(pwd, "getpwuid", unknown)
    else:
        (tmp_path / ".cache").write_text("")
        monkeypatch.setenv("HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert keep_compiled_programs() is None
    assert "compiled programs are not kept" in caplog.text
    assert len(caplog.records) == 1
    compilations(2.0)


def test_what_was_used_longest_ago_goes_when_there_is_too_much(tmp_path, monkeypatch):
    folder = keep_compiled_programs(tmp_path)
    for day in range(5):
        entry = folder / f"jit_{day}-cache"
        entry.write_bytes(bytes(10))
        os.utime(entry, (86400 * day, 86400 * day))
    monkeypatch.setattr(compilation_cache, "LARGEST_BYTES", 25)
    keep_compiled_programs(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["jit_3-cache", "jit_4-cache"]
