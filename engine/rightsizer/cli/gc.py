"""rightsizer gc"""

from __future__ import annotations

from rightsizer.cli.options import StoreOption, VerboseOption


def gc(store: StoreOption = None, verbose: VerboseOption = False) -> None:
    """Remove what a dead run left behind; stored results stay."""
    from rightsizer.housekeeping import collect

    done = collect(store=store)
    print("\n".join(done) if done else "nothing to clean up")
