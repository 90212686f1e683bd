"""Where a configuration comes from: what each source may say, and which one wins."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from tlru.config import OPTIONS, Config, resolve
from tlru.config import page as pages
from tlru.wire.limits import Limits


def test_without_sources_every_option_has_its_default() -> None:
    resolved = resolve(env={})
    assert resolved.config == Config()
    assert {str(origin) for origin in resolved.origins.values()} == {"default"}
    assert {one.name: one.default for one in OPTIONS} == {
        one.name: getattr(resolved.config, one.name) for one in OPTIONS
    }


def test_a_flag_beats_a_variable_beats_a_file_beats_the_default(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('id = "file"\nregion = "file"\nzone = "file"\n')
    env = {"TLRU_REGION": "environment", "TLRU_ZONE": "environment"}
    resolved = resolve(file, env, {"zone": "flag"})
    config = resolved.config
    assert (config.id, config.region, config.zone) == ("file", "environment", "flag")
    assert config.priority == 100
    told = {name: str(resolved.origins[name]) for name in ("id", "region", "zone", "priority")}
    assert told == {
        "id": f"{file}, line 1",
        "region": "TLRU_REGION",
        "zone": "--zone",
        "priority": "default",
    }


def test_a_heavier_list_replaces_the_lighter_one(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('caches = ["a", "b"]\n[label]\nrack = "a1"\nrow = "7"\n')
    config = Config.from_sources(file, {"TLRU_CACHES": "c,d"}, {"label": ("rack=b2",)})
    assert config.caches == ("c", "d")
    assert config.label == {"rack": "b2"}


def test_the_environment_is_this_process_s_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLRU_ID", "from-here")
    assert Config.from_sources().id == "from-here"
    assert Config.from_sources(env={}).id == "n1"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Config.from_sources(env={"TLRU_MAX_ENTRIES": "", "TLRU_ID": ""}) == Config()


def test_none_takes_back_what_a_lighter_source_said() -> None:
    env = {"TLRU_MAX_ENTRIES": "5", "TLRU_DATA_DIR": "/data"}
    config = Config.from_sources(env=env, flags={"max_entries": "none", "data_dir": "None"})
    assert (config.max_entries, config.data_dir) == (None, None)


# Any: the examples below are of many types.
SAMPLES: dict[str, Any] = {
    "memory_max": 2 << 30,
    "backlog_max": 5_000,
    "connections_per_address": 50,
    "id": "n-2.b_c",
    "region": "eu",
    "zone": "a",
    "priority": 7,
    "label": {"rack": "a1", "note": "two words"},
    "data_dir": Path("/var/lib/tlru"),
    "listen": "[::1]:9000",
    "mesh": "localhost:9001",
    "advertise": ("wss://a.example/ws", "ws://b.example:80"),
    "cors_origins": ("https://a.example", "*"),
    "caches": ("sessions",),
    "max_bytes": 512 << 20,
    "max_entries": 1_000,
    "snapshot_interval": 90.5,
    "retained_bytes": 1 << 20,
    "grace": 0.0,
    "log_level": "warning",
    "log_format": "json",
    "uvloop": False,
    "stay_awake": 0.002,
    "tokens_file": Path("/etc/tlru/tokens.toml"),
    "jwt_keys": Path("/etc/tlru/keys.pem"),
    "jwt_keys_url": "https://login.example/jwks.json",
    "jwt_keys_refresh": 60.0,
    "jwt_issuer": "https://login.example/",
    "jwt_audience": "cache",
    "revoked_file": Path("/etc/tlru/revoked.txt"),
    "insecure": True,
    "connections": 5,
    "message_bytes": 8 << 20,
    "push_bytes": 1_000_000,
    "value_bytes": 2 << 20,
    "key_bytes": 512,
    "batch": 10,
    "keys": 20,
    "scan": 30,
    "feeds": 0,
    "in_flight": 50,
    "waits": 60,
    "hello_s": 0.25,
    "ping_s": 30.0,
    "mark_s": 1.0,
    "once_s": 60.0,
    "tombstone_s": 3600.0,
    "join": ("10.0.0.1:8401", "10.0.0.2:8401"),
    "bootstrap": (),
    "expect": 3,
    "token": "a secret of enough letters",
    "role": "observer",
    "advertise_mesh": ("cache.example:8401",),
    "token_also": "another secret of enough letters",
    "tls_cert": Path("/etc/tlru/port.pem"),
    "tls_key": Path("/etc/tlru/port.key"),
    "mesh_cert": Path("/etc/tlru/n1.pem"),
    "mesh_key": Path("/etc/tlru/n1.key"),
    "mesh_ca": Path("/etc/tlru/ca.pem"),
    "state_dir": Path("/var/lib/state"),
    "fsync": "interval",
    "fsync_interval": 0.5,
    "hand_back": False,
    "settle": 7.0,
    "cold_start": "majority",
    "stale_reads": True,
    "heartbeat": 0.2,
    "election_timeout": 2.0,
    "finalize_after": 60.0,
    "slow_op": 0.25,
    "audit_file": Path("/var/log/tlru/audit.jsonl"),
    "backup_dir": Path("/var/backups/tlru"),
    "backup_interval": 7200.0,
    "backup_keep": 3,
    "tracing": True,
}


def test_every_option_may_be_told_in_every_place(tmp_path: Path) -> None:
    """Python, TOML, variables and flags, each with its own way of writing, mean the same."""
    assert set(SAMPLES) == {one.name for one in OPTIONS}
    told = Config(**SAMPLES)
    assert {one.name: getattr(told, one.name) for one in OPTIONS} == SAMPLES
    texts = {one.name: one.kind.show(SAMPLES[one.name]) for one in OPTIONS}
    assert Config.from_sources(env={}, flags=texts) == told
    assert Config.from_sources(env={one.env: texts[one.name] for one in OPTIONS}) == told
    file = tmp_path / "node.toml"
    file.write_text(pages.toml(told))
    assert Config.from_sources(file, env={}) == told


def test_a_config_in_python_takes_what_a_file_takes() -> None:
    loose: dict[str, Any] = {
        "max_bytes": "512MiB",
        "grace": "1m",
        "data_dir": "/data",
        "caches": ["a"],
    }
    config = Config(**loose)
    assert (config.max_bytes, config.grace) == (512 << 20, 60.0)
    assert (config.data_dir, config.caches) == (Path("/data"), ("a",))


def test_a_config_is_a_value() -> None:
    config = Config(listen="127.0.0.1:0", max_entries=1_000, label={"rack": "a1"})
    again = Config(listen="127.0.0.1:0", max_entries=1_000, label={"rack": "a1"})
    assert config == again
    assert hash(config) == hash(again)
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(AttributeError):
        config.id = "other"  # type: ignore[misc]  # that it is refused is the point


def test_a_config_does_not_follow_the_mapping_it_was_given() -> None:
    label = {"rack": "a1"}
    config = Config(label=label)
    label["rack"] = "changed"
    assert config.label == {"rack": "a1"}
    assert Config().label is not Config().label


def test_addresses_and_limits_are_given_as_a_node_needs_them() -> None:
    config = Config(listen="[::1]:0", mesh="127.0.0.1:9000", scan=7)
    assert config.listen_address == ("::1", 0)
    assert config.mesh_address == ("127.0.0.1", 9000)
    assert config.limits() == Limits(scan=7)
    assert Config().limits() == Limits()


def test_a_home_directory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert Config.from_sources(env={"TLRU_DATA_DIR": "~/cache"}).data_dir == Path("/home/me/cache")
