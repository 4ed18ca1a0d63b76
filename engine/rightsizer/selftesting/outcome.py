"""What the self-test found: what `rightsizer.selftest` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rightsizer.calibration.claims import Claim
from rightsizer.calibration.judging import Check, Judgement
from rightsizer.errors import ExitCode
from rightsizer.machines import Placement


@dataclass(frozen=True)
class SelfTest:
    """The checks, and what they mean. Plain values; names are those of the JSON document."""

    processor: str
    placement: Placement
    quick: bool
    stopped: bool
    """It was ended before all checks were done."""
    checks: tuple[Check, ...]
    claims: tuple[Claim, ...]
    samples: str
    """The folder of the raw samples and the servers' logs."""
    wall_s: float

    @property
    def judgement(self) -> Judgement:
        """The worst of the checks'."""
        worst: Judgement = "pass"
        for check in self.checks:
            if check.judgement == "fail":
                return "fail"
            if check.judgement == "weak":
                worst = "weak"
        return worst

    @property
    def exit_code(self) -> ExitCode:
        """What `rightsizer selftest` ends with."""
        return ExitCode.NO_VALID_MEASUREMENT if self.judgement == "fail" else ExitCode.OK

    def document(self) -> dict[str, Any]:
        """The JSON document `rightsizer/selftest/1`, numbers unrounded."""
        from rightsizer.report.selftest_document import selftest_document

        return selftest_document(self)
