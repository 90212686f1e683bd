"""What came of a run: how often each operation was asked, how it answered, what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_DETAIL_CHARS = 1_200  # of a finding: of a long key the beginning says enough


@dataclass
class Row:
    """One operation."""

    cases: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """By the first digit of the status; `none` where the connection ended without one."""
    excused: int = 0
    findings: int = 0


@dataclass(frozen=True)
class Finding:
    """Something that the description and the node do not agree about."""

    operation: str
    check: str
    message: str
    again: str
    """A command that sends the same once more."""

    def __str__(self) -> str:
        text = f"{self.operation}: {self.check}\n{self.message}\n{self.again}"
        return text if len(text) <= _DETAIL_CHARS else text[:_DETAIL_CHARS] + "..."


@dataclass
class Report:
    """All of a run."""

    rows: dict[str, Row] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)
    """What was not held against the node, by the reason."""
    checks: Counter[str] = field(default_factory=Counter)
    """How often each check was made."""

    def row(self, operation: str) -> Row:
        """The row of an operation."""
        return self.rows.setdefault(operation, Row())

    def find(self, finding: Finding) -> None:
        """Add what was found; the same of the same operation is told once."""
        self.row(finding.operation).findings += 1
        alike = (finding.operation, finding.check)
        if all((each.operation, each.check) != alike for each in self.findings):
            self.findings.append(finding)

    @property
    def cases(self) -> int:
        """How many requests were sent."""
        return sum(row.cases for row in self.rows.values())

    def lines(self) -> Iterator[str]:
        """The report as people read it."""
        yield f"{'operation':34}{'cases':>8}{'2xx':>8}{'3xx':>6}{'4xx':>8}{'5xx':>6}{'found':>7}"
        for name, row in sorted(self.rows.items(), key=lambda pair: pair[0].split()[::-1]):
            told = [row.answers[digit] for digit in "2345"]
            yield f"{name:34}{row.cases:8,}{told[0]:8,}{told[1]:6,}{told[2]:8,}{told[3]:6,}" + (
                f"{row.findings:7,}" if row.findings else f"{'-':>7}"
            )
        yield f"{'all':34}{self.cases:8,}"
        yield ""
        yield "checks: " + ", ".join(f"{name} {n:,}" for name, n in sorted(self.checks.items()))
        for reason, n in sorted(self.excused.items()):
            yield f"not held against the node, {n:,} times: {reason}"
        for finding in self.findings:
            yield f"\n{finding}"
        yield f"{len(self.findings)} findings" if self.findings else "nothing found"
