"""What stands in `config/kubernetes/`, and what a kubelet would make of it: a pod's files and
environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "config" / "kubernetes"
NAMESPACE = "cache"
_REFERENCE = re.compile(r"\$\((\w+)\)")

Document = dict[str, Any]
Secrets = Mapping[str, Mapping[str, str]]


def documents(folder: str = "base") -> list[Document]:
    """What `kubectl apply -k` would send."""
    here = KUBERNETES / folder
    kustomization = yaml.safe_load((here / "kustomization.yaml").read_text())
    found: list[Document] = []
    for name in kustomization["resources"]:
        path = here / name
        if path.is_dir():
            found += documents(path.resolve().relative_to(KUBERNETES).as_posix())
        else:
            found += list(yaml.safe_load_all(path.read_text()))
    for patch in kustomization.get("patches", ()):
        (target,) = (
            each
            for each in found
            if (each["kind"], each["metadata"]["name"])
            == (patch["target"]["kind"], patch["target"]["name"])
        )
        for step in yaml.safe_load((here / patch["path"]).read_text()):
            _patch(target, step)
    return found


def _patch(document: Document, step: Document) -> None:
    """One step of RFC 6902, as far as the patches here go."""
    *way, last = step["path"].lstrip("/").split("/")
    at: Any = document
    for part in way:
        at = at[int(part)] if isinstance(at, list) else at[part]
    if last == "-":
        assert step["op"] == "add", step
        at.append(deepcopy(step["value"]))
        return
    key = int(last) if isinstance(at, list) else last
    if step["op"] == "replace":
        assert at[key] is not None, step
    at[key] = deepcopy(step["value"])


def one(found: list[Document], kind: str, name: str = "") -> Document:
    """The one document of a kind (and name)."""
    (document,) = (
        each for each in found if each["kind"] == kind and name in ("", each["metadata"]["name"])
    )
    return document


@dataclass(frozen=True)
class PodFacts:
    """A pod of the StatefulSet, as the kubelet starts it."""

    name: str
    args: list[str]
    env: dict[str, str]
    files: dict[str, dict[str, str]]  # by mountPath: names and contents


def pod(
    found: list[Document],
    ordinal: int,
    secrets: Secrets,
    labels: Mapping[str, str],
) -> PodFacts:
    """The pod of this number. KeyError where something is referred to that is not there."""
    stateful = one(found, "StatefulSet")
    spec = stateful["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    name = f"{stateful['metadata']['name']}-{ordinal}"
    fields = {"metadata.name": name, "metadata.namespace": NAMESPACE}
    env: dict[str, str] = {}
    for row in container["env"]:
        value = _value(row, fields, labels, secrets)
        if value is not None:
            env[row["name"]] = _REFERENCE.sub(lambda m: env.get(m[1], m[0]), value)
    volumes = {each["name"]: each for each in spec["volumes"]}
    for claim in stateful["spec"]["volumeClaimTemplates"]:
        volumes[claim["metadata"]["name"]] = {}
    files = {
        mount["mountPath"]: dict(_contents(volumes[mount["name"]], found, secrets))
        for mount in container["volumeMounts"]
    }
    return PodFacts(name, list(container["args"]), env, files)


def _value(
    row: Document, fields: Mapping[str, str], labels: Mapping[str, str], secrets: Secrets
) -> str | None:
    source = row.get("valueFrom")
    if source is None:
        return str(row["value"])
    if "fieldRef" in source:
        path = source["fieldRef"]["fieldPath"]
        label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
        return labels.get(label[1], "") if label else fields[path]
    reference = source["secretKeyRef"]
    kept = secrets[reference["name"]]
    if reference["key"] not in kept and reference.get("optional"):
        return None
    return kept[reference["key"]]


def _contents(
    volume: Document, found: list[Document], secrets: Secrets
) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield from one(found, "ConfigMap", volume["configMap"]["name"])["data"].items()
    elif "secret" in volume:
        kept = secrets[volume["secret"]["secretName"]]
        items = volume["secret"].get("items")
        if items is None:
            yield from kept.items()
        else:
            yield from ((item["path"], kept[item["key"]]) for item in items)
