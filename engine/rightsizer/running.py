"""Jobs while they run: what they lease, who may end them, and how their end is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from rightsizer import events
from rightsizer.errors import RightsizerError
from rightsizer.hosts.affinity import kept_to
from rightsizer.hosts.lease import lease
from rightsizer.housekeeping import interrupt_orphans
from rightsizer.plan import Plan
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import Store


@contextmanager
def running(
    store: Store,
    ids: Sequence[str],
    plan: Plan,
    *,
    leases: bool,
    limit_s: float,
    switch: StopSwitch,
    say: Callable[[events.Event], None],
) -> Iterator[float]:
    """Owned jobs that are measured together, for as long as the context is open.

    Their CPUs are leased, a stop of any of them stops all, and whatever happens their status says
    how they ended. Yields when their time is up, on the monotonic clock, s.
    """
    begin_s = time.monotonic()
    cpus, accelerators = (plan.cpus, plan.accelerators) if leases else ((), ())
    with (
        lease(sorted(cpus), f"job {' '.join(ids)}", accelerators=sorted(accelerators)),
        kept_to(sorted(plan.generator_cpus)),
    ):
        switch.watch(begin_s + limit_s, lambda: any(map(store.stop_requested, ids)))
        for one in ids:
            store.set_status(one, "running")
        status, why = "failed", "the engine failed"
        whole = False
        try:
            yield begin_s + limit_s
            status, why = _ending(switch, limit_s)
            whole = True
        except RightsizerError as error:
            why = str(error)
            raise
        except KeyboardInterrupt:
            status, why = "stopped", "the job was stopped"
            raise
        except Exception as error:  # a bug of ours, told where nobody sees its traceback
            why = f"the engine failed: {type(error).__name__}: {error}"
            raise
        finally:
            with ExitStack() as ends:  # an end that fails keeps no other from its own
                for one in ids:
                    ended = events.JobEnded(one, status, time.monotonic() - begin_s)
                    ends.callback(_end, store, ended, why, whole, say)


def _end(
    store: Store,
    ended: events.JobEnded,
    why: str,
    whole: bool,
    say: Callable[[events.Event], None],
) -> None:
    if not whole:
        with suppress(RightsizerError):  # the disk may be what failed
            interrupt_orphans(store, ended.job_id)
    shutil.rmtree(store.job_dir(ended.job_id) / "model", ignore_errors=True)
    store.set_status(ended.job_id, ended.status, cut_short=why)
    say(ended)


def _ending(switch: StopSwitch, limit_s: float) -> tuple[str, str]:
    """(status, why it was cut short) of jobs that have come to their end, or are handed over."""
    if switch.handed_over:
        return "pending", ""
    if switch.pressed:
        return "stopped", "the job was stopped"
    if switch.out_of_time:
        return "completed", f"the job reached limits.duration_s of {limit_s:g} s"
    return "completed", ""
