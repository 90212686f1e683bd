"""What a configuration is said to have wrong, for tests to compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tlru.config import ConfigError, resolve


def mistakes_of(
    text: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    *,
    folder: Path | None = None,
) -> list[str]:
    """What is said about these sources, with the file named `node.toml`."""
    file = None
    if text is not None:
        assert folder is not None
        file = folder / "node.toml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        resolve(file, env or {}, flags or {})
    return [str(mistake).replace(f"{folder}/", "") for mistake in caught.value.mistakes]
