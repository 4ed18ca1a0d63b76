"""Two jobs compared as a result: what `rightsizer.ab` and `rightsizer.compare` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rightsizer.analysis.figures import Basis
from rightsizer.comparing import Comparison, Verdict, is_regression
from rightsizer.errors import ExitCode
from rightsizer.results import Job


@dataclass(frozen=True)
class Matched:
    """A candidate of A and its partner of B."""

    instance_types: tuple[str, str]
    environments: tuple[Mapping[str, str], Mapping[str, str]]
    max_invocations_per_min: tuple[float, float] | None
    """In the trials that are compared; None where there are none."""
    comparison: Comparison


@dataclass(frozen=True)
class Compared:
    """Plain values; ratios are B over A of the cost per inference."""

    job_a: Job
    job_b: Job
    basis: Basis
    is_paired: bool
    """Whether both were measured in turn, on shared arrivals and payloads."""
    pairs: tuple[Matched, ...]
    moved_ratio: float | None = None
    """By how much the host's own speed differs between two stored jobs."""
    fail_on_regression_ratio: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Of all pairs: `worse` where any is, then `better`; `same` where all are."""
        found = {pair.comparison.verdict for pair in self.pairs}
        for verdict in ("worse", "better"):
            if verdict in found:
                return verdict
        return "same" if found == {"same"} else "inconclusive"

    @property
    def regressions(self) -> tuple[Matched, ...]:
        """Pairs that are worse by more than was allowed, with 95 % confidence."""
        if self.fail_on_regression_ratio is None:
            return ()
        allowed = self.fail_on_regression_ratio
        return tuple(pair for pair in self.pairs if is_regression(pair.comparison, allowed))

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        codes = {self.job_a.exit_code, self.job_b.exit_code}
        for code in (ExitCode.NO_VALID_MEASUREMENT, ExitCode.LIMIT_UNMET):
            if code in codes and not any(pair.comparison.ratio for pair in self.pairs):
                return code
        if self.regressions:
            return ExitCode.REGRESSION
        return (
            ExitCode.OK if all(p.max_invocations_per_min for p in self.pairs) else ExitCode.PARTIAL
        )

    def document(self) -> dict[str, Any]:
        """The JSON document `rightsizer/comparison/1`, numbers unrounded."""
        from rightsizer.report.comparison import comparison_document

        return comparison_document(self)

    def markdown(self) -> str:
        """For a pull request."""
        from rightsizer.report.comparison import comparison_markdown

        return comparison_markdown(self)
