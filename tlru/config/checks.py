"""What must hold between options, once each by itself is right.

Pure. Decides which combinations are mistakes. A check whose options are not all usable is left out:
the mistake in the option itself is told already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tlru.config.addresses import Address, parse_address
from tlru.config.mistakes import Kind, Mistake, Origin
from tlru.config.units import show_size

Values = Mapping[str, Any]  # Any: the values of all options, each as its kind keeps it
Origins = Mapping[str, Origin]
AUTHENTICATION = ("tokens_file", "jwt_keys", "jwt_keys_url")
_ADVICE = {"listen": "give it tokens_file, jwt_keys or jwt_keys_url, ", "mesh": ""}
MESH_TLS = ("mesh_cert", "mesh_key", "mesh_ca")
PORT_TLS = ("tls_cert", "tls_key")
Found = tuple[tuple[str, ...], str]  # the options that a mistake is about, and what is wrong


def cross_checks(values: Values, origins: Origins) -> list[Mistake]:
    """Every mistake between options; `values` may lack those that are wrong by themselves."""
    return [
        Mistake(_place(names, origins), problem)
        for needs, check in _CHECKS
        if all(one in values for one in needs)
        for names, problem in check(values)
    ]


def _place(names: tuple[str, ...], origins: Origins) -> Origin:
    """The first of the options that somebody set: nobody can go and look at a default."""
    set_somewhere = (origins[name] for name in names if origins[name].kind is not Kind.DEFAULT)
    return next(set_somewhere, origins[names[0]])


def _a_value_fits_a_message(values: Values) -> Iterator[Found]:
    value, message = values["value_bytes"], values["message_bytes"]
    if value > message:
        yield (
            ("value_bytes", "message_bytes"),
            f"value_bytes ({show_size(value)}) is more than message_bytes ({show_size(message)}), "
            "so the largest values could not be sent; lower the one or raise the other",
        )


def _addresses_differ(values: Values) -> Iterator[Found]:
    if _address(values["listen"]).collides(_address(values["mesh"])):
        yield (
            ("mesh", "listen"),
            f"listen ({values['listen']}) and mesh ({values['mesh']}) cannot share a port; "
            "give one of them another",
        )


def _a_cluster_can_be_founded(values: Values) -> Iterator[Found]:
    bootstrap, expect, join = values["bootstrap"], values["expect"], values["join"]
    if bootstrap and expect:
        yield (
            ("expect", "bootstrap"),
            "bootstrap says who founds the cluster, so expect is not needed; give one of them",
        )
    if bootstrap and values["id"] not in bootstrap:
        yield (
            ("bootstrap", "id"),
            f"bootstrap lacks this node ({values['id']}); name all founders, or none to join them",
        )
    if (expect > 1 or len(bootstrap) > 1) and not join:
        yield (
            ("join",),
            "founders find each other at the addresses of join; name those of their meshes",
        )


def _one_cache_a_cluster(values: Values) -> Iterator[Found]:
    clustered = values["join"] or values["bootstrap"] or values["expect"]
    if clustered and len(values["caches"]) > 1:
        yield (
            ("caches",),
            f"a cluster serves one cache, not {len(values['caches'])}; start a cluster for each",
        )


def _tls_is_whole(values: Values) -> Iterator[Found]:
    lacking = [name for name in MESH_TLS if values[name] is None]
    if lacking and len(lacking) < len(MESH_TLS):
        given = tuple(name for name in MESH_TLS if name not in lacking)
        yield (
            given,
            f"{' and '.join(given)} without {' and '.join(lacking)}: a node shows its certificate, "
            "proves it with its key, and judges those of the others; give all three, or none",
        )


def _the_ports_tls_is_whole(values: Values) -> Iterator[Found]:
    lacking = [name for name in PORT_TLS if values[name] is None]
    if len(lacking) == 1:
        (given,) = (name for name in PORT_TLS if name not in lacking)
        yield (
            (given,),
            f"{given} without {lacking[0]}: a node shows its certificate and proves it with its "
            "key; give both, or none",
        )


def _a_second_token_is_beside_a_first(values: Values) -> Iterator[Found]:
    if values["token_also"] and not values["token"]:
        yield (
            ("token_also",),
            "token_also without token: it is taken beside token while a cluster goes over from one "
            "to the other; give token too",
        )


def _strangers_are_meant(values: Values) -> Iterator[Found]:
    if values["insecure"]:
        return
    guarded = {
        "listen": any(values[name] is not None for name in AUTHENTICATION),
        "mesh": bool(values["token"] or values["mesh_ca"]),
    }
    for name, is_guarded in guarded.items():
        if not is_guarded and not _address(values[name]).loopback:
            yield (
                (name,),
                f"{values[name]} can be reached from other machines, and this node asks nobody who "
                f"they are; {_ADVICE[name]}listen on 127.0.0.1, or set insecure if the network "
                "keeps strangers out",
            )


def _keys_are_fetched_safely(values: Values) -> Iterator[Found]:
    url = values["jwt_keys_url"]
    if url is None or values["insecure"] or url.startswith("https:"):
        return
    host = urlsplit(url).hostname or ""
    if host not in ("localhost", "127.0.0.1", "::1"):
        yield (
            ("jwt_keys_url",),
            f"{url} is fetched in the open, and whoever answers in its place decides who is let "
            "in; give an https:// address",
        )


def _address(text: str) -> Address:
    address = parse_address(text)
    assert address is not None, f"{text!r} passed its own check"
    return address


_CHECKS: tuple[tuple[tuple[str, ...], Callable[[Values], Iterator[Found]]], ...] = (
    (("value_bytes", "message_bytes"), _a_value_fits_a_message),
    (("listen", "mesh"), _addresses_differ),
    (MESH_TLS, _tls_is_whole),
    (PORT_TLS, _the_ports_tls_is_whole),
    (("token", "token_also"), _a_second_token_is_beside_a_first),
    (("listen", "mesh", "insecure", "token", "mesh_ca", *AUTHENTICATION), _strangers_are_meant),
    (("jwt_keys_url", "insecure"), _keys_are_fetched_safely),
    (("id", "join", "bootstrap", "expect"), _a_cluster_can_be_founded),
    (("join", "bootstrap", "expect", "caches"), _one_cache_a_cluster),
)
