"""Every mistake in a configuration is told, with its place, and all at once."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.told import mistakes_of
from tlru.config import OPTIONS, Config, ConfigError, resolve
from tlru.config.toml_file import FILE_BYTES_MAX, read_toml
from tlru.errors import TlruError

NAME = "a name of 1 to 64 letters, digits, '_', '.' or '-'"
SIZE = "such as 512KiB, 1GB or a number of bytes"
DURATION = "such as 500ms, 1h30m or a number of seconds"
ADDRESS = "an address such as 127.0.0.1:8400, [::1]:8400, cache.example:8400 or :8400"


@pytest.mark.parametrize(
    ("flag", "found", "told"),
    [
        ("id", "", f"--id: found '', expected {NAME}"),
        ("id", "a b", f"--id: found 'a b', expected {NAME}"),
        ("region", "a/b", f"--region: found 'a/b', expected nothing or {NAME}"),
        ("priority", "-1", "--priority: found '-1', expected a whole number from 0 to 1,000"),
        ("priority", 1.5, "--priority: found 1.5, expected a whole number from 0 to 1,000"),
        ("priority", True, "--priority: found True, expected a whole number from 0 to 1,000"),
        ("max_bytes", "12 parsecs", f"--max-bytes: found '12 parsecs', expected a size from 1B to "
         f"1024TiB, {SIZE}"),
        ("max_bytes", 0, f"--max-bytes: found 0, expected a size from 1B to 1024TiB, {SIZE}"),
        ("max_entries", "many", "--max-entries: found 'many', expected a whole number from 1 to "
         "1,000,000,000,000, or none"),
        ("grace", "2h", f"--grace: found '2h', expected a duration from 0s to 1h, {DURATION}"),
        ("grace", math.inf, f"--grace: found inf, expected a duration from 0s to 1h, {DURATION}"),
        ("grace", math.nan, f"--grace: found nan, expected a duration from 0s to 1h, {DURATION}"),
        ("listen", "8400", f"--listen: found '8400', expected {ADDRESS}; did you mean "
         "127.0.0.1:8400?"),
        ("mesh", "nowhere:x", f"--mesh: found 'nowhere:x', expected {ADDRESS}"),
        ("log_level", "loud", "--log-level: found 'loud', expected debug, info, warning or error"),
        ("uvloop", "maybe", "--uvloop: found 'maybe', expected true or false"),
        ("uvloop", 1, "--uvloop: found 1, expected true or false"),
        ("advertise", "http://a", "--advertise: found 'http://a', expected a ws:// or wss:// URL "
         "such as wss://cache.example/ws"),
        ("cors_origins", "https://a.example/x", "--cors-origins: found 'https://a.example/x', "
         "expected a http:// or https:// URL such as https://shop.example, or * for any; did you "
         "mean https://a.example?"),
        ("caches", "", f"--caches: found '', expected 1 to 64 values, each {NAME}"),
        ("caches", "a,", f"--caches: found '', expected {NAME}"),
        ("data_dir", "a\nb", "--data-dir: found 'a\\nb', expected the path of a directory, in "
         "printable characters, or none"),
        ("label", "rack", "--label: found 'rack', expected 0 to 64 labels such as rack=a1: a name "
         "of letters, digits, '_', '.' or '-', and a value of at most 128 printable characters "
         "without a comma"),
        ("max_bites", "1", "--max-bites: there is no such option; did you mean --max-bytes?"),
        ("port", "1", "--port: there is no such option; did you mean --listen?"),
        ("colour", "1", "--colour: there is no such option"),
    ],
)  # fmt: skip
def test_a_mistake_says_where_what_and_what_instead(flag: str, found: object, told: str) -> None:
    assert mistakes_of(flags={flag: found}) == [told]


@pytest.mark.parametrize(
    "url",
    [
        "wss://",
        "wss://a b/",
        "wss://a:x/",
        "wss://u:p@a/",
        "wss://a/#x",
        "wss://[a/",
        "a",
        "ws://a:0",
        "wss://a/\nb",
        "wss://" + "a" * 2_000,
    ],
)
def test_what_is_no_url_is_not_advertised(url: str) -> None:
    assert "expected a ws:// or wss:// URL" in mistakes_of(flags={"advertise": (url,)})[0]


def test_every_mistake_of_every_source_is_told_at_once(tmp_path: Path) -> None:
    text = """\
# a node
max_byte = 1
listen = "127.0.0.1"
caches = [
  "a",
  "b c",
]
priority = "many"
value_bytes = "8MiB"
[label]
rack = "a"
grace = "10s"
[limits]
keys = 5
"""
    env = {"TLRU_PROIRITY": "1", "TLRU_ZONE": "a b"}
    assert mistakes_of(text, env, {"mesh": ":8401"}, folder=tmp_path) == [
        "node.toml, line 2: max_byte: there is no such option; did you mean max_bytes?",
        f"node.toml, line 3: listen: found '127.0.0.1', expected {ADDRESS}; did you mean "
        "127.0.0.1:8400?",
        f"node.toml, line 4: caches: found 'b c', expected {NAME}",
        "node.toml, line 8: priority: found 'many', expected a whole number from 0 to 1,000",
        "node.toml, line 9: value_bytes: value_bytes (8MiB) is more than message_bytes (4MiB), "
        "so the largest values could not be sent; lower the one or raise the other",
        "node.toml, line 12: label.grace: stands below [label], so it is a label and not the "
        "option grace; move it above [label]",
        "node.toml, line 13: limits: there is no such table; options stand above all tables",
        "TLRU_PROIRITY: there is no such option; did you mean TLRU_PRIORITY?",
        f"TLRU_ZONE: found 'a b', expected nothing or {NAME}",
    ]


def test_a_mistake_is_told_also_where_a_heavier_source_hides_it(tmp_path: Path) -> None:
    told = mistakes_of("priority = -1\n", {}, {"priority": "5"}, folder=tmp_path)
    assert told == [
        "node.toml, line 1: priority: found -1, expected a whole number from 0 to 1,000"
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = \n", "node.toml, line 1: is not TOML at column 5: "),
        (
            'id = "a"\nid = "b"\n',
            "node.toml, line 2: is not TOML at column 9: ",
        ),
        ('id = """', "node.toml: is not TOML at its end: "),
        (b"id = '\xff'", "node.toml: is not a UTF-8 text file"),
        (
            b"#" * (FILE_BYTES_MAX + 1),
            "node.toml: is larger than 1,048,576 bytes; is it the right file?",
        ),
        ("a = " + "[" * 5_000, "node.toml: is nested too deeply"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_its_line(
    text: str | bytes, told: str, tmp_path: Path
) -> None:
    (mistake,) = mistakes_of(text, folder=tmp_path)
    assert mistake.startswith(told)  # what follows is tomllib's own word, and differs by version
    assert len(mistake) > len("node.toml: is ")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.toml: cannot be read: No such file or directory$"
    ):
        resolve(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match=r": cannot be read: Is a directory$"):
        resolve(tmp_path, {})


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_bytes(b'\xef\xbb\xbfid = "n7"\r\nzone = "a"\r\n')
    assert Config.from_sources(file, {}).zone == "a"


def test_lines_are_those_on_which_a_statement_begins(tmp_path: Path) -> None:
    """Also behind values of many lines, dotted and quoted keys, and what only looks like a key."""
    file = tmp_path / "node.toml"
    file.write_text(
        'a = """\nid = "no"\n[label]\n"""\n\n"b" = [\n  1,\n]\nc.d = 1\n[label]\n# id\n'
        'e = "="\n\n[ "x" . y ]\nf = { g = 1 }\n[[z]]\nid = 1\n[[z]]\nid = 2'
    )
    assert read_toml(file).lines == {
        ("a",): 1,
        ("b",): 6,
        ("c",): 9,
        ("c", "d"): 9,
        ("label",): 10,
        ("label", "e"): 12,
        ("x",): 14,
        ("x", "y"): 14,
        ("x", "y", "f"): 15,
        ("x", "y", "f", "g"): 15,
        ("z",): 16,
    }


def test_a_variable_of_somebody_else_is_noted_and_ignored() -> None:
    resolved = resolve(env={"TLRU_HOMEPAGE_COLOUR": "red", "OTHER": "1"})
    assert resolved.config == Config()
    assert resolved.notes == (
        "TLRU_HOMEPAGE_COLOUR is set, but there is no such option; it is ignored",
    )


def test_a_kubernetes_service_named_like_us_does_no_harm() -> None:
    address = "10.0.0.1"
    env = {
        "TLRU_SERVICE_HOST": address,
        "TLRU_SERVICE_PORT": "8400",
        "TLRU_SERVICE_PORT_MESH": "8401",
        "TLRU_PORT": f"tcp://{address}:8400",
        "TLRU_PORT_8400_TCP": f"tcp://{address}:8400",
        "TLRU_PORT_8400_TCP_PROTO": "tcp",
        "TLRU_PORT_8400_TCP_PORT": "8400",
        "TLRU_PORT_8400_TCP_ADDR": address,
        "TLRU_MESH_SERVICE_HOST": address,
        "TLRU_MESH_PORT": f"tcp://{address}:8401",
    }
    assert resolve(env=env) == resolve(env={})
    assert mistakes_of(env={"TLRU_PORT": "8400"}) == [
        "TLRU_PORT: there is no such option; did you mean TLRU_LISTEN?"
    ]


def test_variables_of_the_command_line_are_none_of_the_node_s() -> None:
    env = {
        "TLRU_SERVER": "ws://a",
        "TLRU_SERVERS_FILE": "d",
        "TLRU_CACHE": "b",
        "TLRU_TIMEOUT": "1",
        "TLRU_CONFIG": "c",
    }
    assert resolve(env=env) == resolve(env={})


def test_a_mistake_in_python_names_the_argument() -> None:
    wrong: dict[str, Any] = {"max_bytes": "x", "value_bytes": 5 << 20, "caches": "a"}
    with pytest.raises(ConfigError) as caught:
        Config(**wrong)
    assert str(caught.value).splitlines() == [
        f"Config(caches=...): found 'a', expected 1 to 64 values, each {NAME}",
        f"Config(max_bytes=...): found 'x', expected a size from 1B to 1024TiB, {SIZE}",
        "Config(value_bytes=...): value_bytes (5MiB) is more than message_bytes (4MiB), so the "
        "largest values could not be sent; lower the one or raise the other",
    ]
    assert isinstance(caught.value, TlruError)
    assert pickle.loads(pickle.dumps(caught.value)).mistakes == caught.value.mistakes


def test_a_long_mistake_is_cut() -> None:
    told = mistakes_of(flags={"id": "x" * 10_000})
    assert told == [f"--id: found '{'x' * 56}..., expected {NAME}"]


EXPOSED = "can be reached from other machines, and this node asks nobody who they are; "
ADVICE = {
    "listen": "give it tokens_file, jwt_keys or jwt_keys_url, ",
    "mesh": "",
}
OR_ELSE = "listen on 127.0.0.1, or set insecure if the network keeps strangers out"


def test_a_mistake_between_options_is_told_where_somebody_set_one_of_them() -> None:
    assert mistakes_of(env={"TLRU_MESSAGE_BYTES": "512KiB"}) == [
        "TLRU_MESSAGE_BYTES: value_bytes (1MiB) is more than message_bytes (512KiB), so the "
        "largest values could not be sent; lower the one or raise the other"
    ]


@pytest.mark.parametrize("name", ["listen", "mesh"])
@pytest.mark.parametrize("address", [":8402", "0.0.0.0:8402", "[::]:8402", "cache.example:8402"])
def test_a_node_open_to_others_must_be_told_so(name: str, address: str) -> None:
    told = f"--{name}: {address} {EXPOSED}{ADVICE[name]}{OR_ELSE}"
    assert mistakes_of(flags={name: address}) == [told]
    config = Config.from_sources(env={}, flags={name: address, "insecure": True})
    assert getattr(config, name) == address


@pytest.mark.parametrize(
    "whose",
    [
        {"tokens_file": "tokens.toml"},
        {"jwt_keys": "keys.pem"},
        {"jwt_keys_url": "https://login.example/jwks.json"},
    ],
)
def test_a_node_that_asks_who_comes_may_be_reached(whose: dict[str, str]) -> None:
    config = Config.from_sources(env={}, flags={"listen": ":8400", **whose})
    assert config.authenticates


def test_keys_are_not_fetched_in_the_open() -> None:
    (told,) = mistakes_of(flags={"jwt_keys_url": "http://login.example/jwks.json"})
    assert told.startswith("--jwt-keys-url: http://login.example/jwks.json is fetched in the open")
    Config.from_sources(env={}, flags={"jwt_keys_url": "http://127.0.0.1:80/jwks.json"})


@pytest.mark.parametrize(
    ("listen", "mesh", "clash"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9000", True),
        (":9000", "127.0.0.1:9000", True),
        ("127.0.0.1:9000", "[::]:9000", True),
        ("127.0.0.1:9000", "127.0.0.2:9000", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_clients_and_nodes_need_ports_of_their_own(listen: str, mesh: str, clash: bool) -> None:
    flags = {"listen": listen, "mesh": mesh, "insecure": "yes"}
    if clash:
        told = (
            f"--mesh: listen ({listen}) and mesh ({mesh}) cannot share a port; "
            "give one of them another"
        )
        assert mistakes_of(flags=flags) == [told]
    else:
        assert Config.from_sources(env={}, flags=flags).mesh == mesh


@given(st.sampled_from(OPTIONS), st.text())
def test_no_text_breaks_an_option(option: Any, text: str) -> None:
    """It is read, and then reads back as itself; or it is a mistake told in one line."""
    flags = {option.name: text, "insecure": "yes"} | {option.name: text}
    try:
        config = Config.from_sources(env={}, flags=flags)
    except ConfigError as problem:
        told = str(problem)
    else:
        flags[option.name] = option.kind.show(getattr(config, option.name))
        assert Config.from_sources(env={}, flags=flags) == config
        told = "one line"
    assert len(told.splitlines()) == 1


def test_certificates_come_with_their_key_and_with_who_vouches_for_them() -> None:
    told = mistakes_of(env={"TLRU_MESH_KEY": "/n1.key", "TLRU_MESH": ":8401"})
    assert [mistake.partition(": ")[0] for mistake in told] == ["TLRU_MESH_KEY", "TLRU_MESH"]
    assert told[0] == (
        "TLRU_MESH_KEY: mesh_key without mesh_cert and mesh_ca: a node shows its certificate, "
        "proves it with its key, and judges those of the others; give all three, or none"
    )
    files = {"mesh_cert": "/n1.pem", "mesh_key": "/n1.key", "mesh_ca": "/ca.pem"}
    assert resolve(env={}, flags={"mesh": ":8401", **files}).config.token == ""
    (mistake,) = mistakes_of(flags={"listen": ":8402", **files})
    assert EXPOSED in mistake, "clients show none"
