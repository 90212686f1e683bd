"""`tlru config`: what it says of files, and of what a node would run with."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import tlru
from tlru.cli.exits import Exit
from tlru.config import OPTIONS, Config

BROKEN = """\
max_byte = 1
listen = "127.0.0.1"
[label]
grace = "10s"
"""


def told(file: Path) -> list[str]:
    """What is wrong with BROKEN."""
    return [
        f"{file}, line 1: max_byte: there is no such option; did you mean max_bytes?",
        f"{file}, line 2: listen: found '127.0.0.1', expected an address such as 127.0.0.1:8400, "
        "[::1]:8400, cache.example:8400 or :8400; did you mean 127.0.0.1:8400?",
        f"{file}, line 4: label.grace: stands below [label], so it is a label and not the option "
        "grace; move it above [label]",
    ]


def test_a_file_without_mistakes_is_said_to_be_one(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('id = "n7"\n')
    ran = tlru("config", "check", str(file))
    assert (ran.status, ran.out, ran.err) == (Exit.OK, f"{file}: no mistakes\n", "")


def test_every_mistake_of_every_file_is_a_line(tmp_path: Path) -> None:
    good, broken, none = (tmp_path / name for name in ("good.toml", "broken.toml", "none.toml"))
    good.write_text("")
    broken.write_text(BROKEN)
    ran = tlru("config", "check", *map(str, (good, broken, none)))
    assert (ran.status, ran.out) == (Exit.CONFIG, f"{good}: no mistakes\n")
    assert ran.err.splitlines() == [
        *(f"tlru: {line}" for line in told(broken)),
        f"tlru: {none}: cannot be read: No such file or directory",
    ]


def test_mistakes_are_told_to_programs_too(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(BROKEN)
    ran = tlru("config", "check", "--json", str(file))
    assert (ran.status, ran.err) == (Exit.CONFIG, "")
    assert (ran.json["file"], ran.json["ok"]) == (str(file), False)
    assert [(one["name"], one["line"]) for one in ran.json["mistakes"]] == [
        ("max_byte", 1),
        ("listen", 2),
        ("label.grace", 4),
    ]
    assert ran.json["mistakes"][0] == {
        "source": "file",
        "name": "max_byte",
        "file": str(file),
        "line": 1,
        "problem": "there is no such option; did you mean max_bytes?",
    }
    serve = tlru("serve", "--json", "--config", str(file))
    assert (serve.status, serve.out) == (Exit.CONFIG, "")
    assert serve.error["code"] == "bad_config"
    assert serve.error["mistakes"] == ran.json["mistakes"]


def test_a_file_is_judged_by_itself_unless_the_environment_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('listen = ":8400"\n')
    env = {"TLRU_INSECURE": "true", "TLRU_HOMEPAGE": "x"}
    assert tlru("config", "check", str(file), env=env).status == Exit.CONFIG
    ran = tlru("config", "check", "--env", str(file), env=env)
    assert (ran.status, ran.out) == (Exit.OK, f"{file}: no mistakes\n")
    assert ran.err == "tlru: TLRU_HOMEPAGE is set, but there is no such option; it is ignored\n"


def test_what_a_node_would_run_with_is_shown_with_where_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('\nid = "n7"\nmax_bytes = "64MiB"\n')
    env = {"TLRU_CONFIG": str(file), "TLRU_ZONE": "a", "TLRU_ADVERTISE": "ws://a,ws://b"}
    ran = tlru("config", "show", "--max-bytes", "1GB", "--no-uvloop", "--label", "a=b", env=env)
    assert (ran.status, ran.err) == (Exit.OK, "")
    head, *lines = ran.out.splitlines()
    assert head.split() == ["option", "value", "from"]
    assert all(line == line.rstrip() for line in lines)
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert list(rows) == [one.name for one in OPTIONS]
    assert rows["id"] == ["n7", f"{file},", "line", "2"]
    assert rows["max_bytes"] == ["1GB", "--max-bytes"]
    assert rows["uvloop"] == ["false", "--uvloop"]
    assert rows["label"] == ["a=b", "--label"]
    assert rows["zone"] == ["a", "TLRU_ZONE"]
    assert rows["advertise"] == ["ws://a,ws://b", "TLRU_ADVERTISE"]
    assert rows["grace"] == ["10s"]


def test_programs_get_plain_values(tmp_path: Path) -> None:
    shown = tlru("config", "show", "--json", "--data-dir", str(tmp_path), "--grace", "1m").json
    assert shown["grace"] == {
        "value": 60.0,
        "shown": "1m",
        "from": "flag",
        "where": "--grace",
        "change": "reload",
    }
    assert shown["id"]["change"] == "restart"
    assert shown["data_dir"]["value"] == str(tmp_path)
    assert shown["caches"]["value"] == ["default"]
    assert shown["max_bytes"] == {
        "value": 1 << 30,
        "shown": "1GiB",
        "from": "default",
        "where": "default",
        "change": "reload",
    }
    assert list(shown) == [one.name for one in OPTIONS]


def test_the_toml_that_is_shown_reads_back_as_the_same(tmp_path: Path) -> None:
    flags = [
        "--label",
        'note=say "hi" \\ 🎉',
        "--zone",
        "a",
        "--cors-origins",
        "*",
        "--grace",
        "90s",
    ]
    ran = tlru("config", "show", "--toml", *flags)
    file = tmp_path / "node.toml"
    file.write_text(ran.out)
    again = Config.from_sources(file, {})
    assert again.label == {"note": 'say "hi" \\ 🎉'}
    assert again == Config.from_sources(
        env={},
        flags={
            "label": 'note=say "hi" \\ 🎉',
            "zone": "a",
            "cors_origins": "*",
            "grace": 90,
        },
    )


def test_mistakes_are_told_instead_of_a_table() -> None:
    ran = tlru("config", "show", "--id", "a b", "--zone", "a b")
    assert (ran.status, ran.out) == (Exit.CONFIG, "")
    assert [line.split(":")[1] for line in ran.err.splitlines()] == [" --id", " --zone"]
    as_json = tlru("config", "show", "--json", "--id", "a b")
    assert [one["name"] for one in json.loads(as_json.err)["error"]["mistakes"]] == ["--id"]


def test_a_secret_is_written_only_for_who_asks(tmp_path: Path) -> None:
    """What is shown ends up in terminals, logs and tickets."""
    token = "a secret of enough letters"
    env = {"TLRU_TOKEN": token}
    shown, as_json = (tlru("config", "show", form, env=env).out for form in ("--toml", "--json"))
    assert token not in shown + as_json + tlru("config", "show", env=env).out
    assert "# token is set, and not shown\n" in shown
    file = tmp_path / "node.toml"
    file.write_text(shown)
    assert Config.from_sources(file, {}).token == ""
    file.write_text(tlru("config", "show", "--toml", "--with-secrets", env=env).out)
    assert Config.from_sources(file, {}).token == token
    assert "# token" not in tlru("config", "show", "--toml").out, "there is none"
