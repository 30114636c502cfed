"""Run the kill matrix and write how much was lost, doubled or wrong to RELIABILITY.md, with the command."""

import argparse
import platform
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from reliability.comparison import Damage  # noqa: E402 - the scenarios belong to the tests, which also run them
from reliability.scenarios import SCENARIOS, NotPossibleError, run  # noqa: E402


def main() -> int:
    """Run so many rounds in turn, print each one's result, and return 1 if anything was damaged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=26, help="rounds altogether, shared among the scenarios in turn")
    parser.add_argument("--seed", type=int, default=1, help="the first round's seed; a failed round names its own")
    parser.add_argument("--only", choices=SCENARIOS, nargs="+", default=list(SCENARIOS), help="only these scenarios")
    parser.add_argument("--output", type=Path, default=HERE / "RELIABILITY.md", help="where the table is written")
    options = parser.parse_args()
    results: dict[str, list[Damage]] = defaultdict(list)
    impossible: dict[str, str] = {}
    unfinished: dict[str, int] = defaultdict(int)
    began = time.monotonic()
    for number in range(options.rounds):
        name = options.only[number % len(options.only)]
        if name in impossible:
            continue
        seed = options.seed + number
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = run(name, Path(folder) / "round", seed=seed)
            except NotPossibleError as error:
                impossible[name] = str(error)
                print(f"{name}: not run: {error}", flush=True)
                continue
            except Exception as error:  # noqa: BLE001 - one round that cannot finish must not hide the others
                unfinished[name] += 1
                print(
                    f"{number + 1:4} of {options.rounds}  {name}: NOT FINISHED {_repeat(name, seed)}: {error!r}",
                    flush=True,
                )
                continue
        results[name].append(found)
        verdict = "ok" if found.none else f"DAMAGED {found} {_repeat(name, seed)}"
        print(f"{number + 1:4} of {options.rounds}  {name}: {verdict}", flush=True)
    minutes = (time.monotonic() - began) / 60
    text = table(results, impossible, unfinished, rounds=options.rounds, seed=options.seed, minutes=minutes)
    options.output.write_text(text)
    print(f"written: {options.output.name}")
    return int(bool(unfinished) or any(not each.none for found in results.values() for each in found))


def _repeat(name: str, seed: int) -> str:
    return f"(repeat: --only {name} --rounds 1 --seed {seed})"


def table(
    results: dict[str, list[Damage]],
    impossible: dict[str, str],
    unfinished: dict[str, int],
    *,
    rounds: int,
    seed: int,
    minutes: float,
) -> str:
    """Return the page with one row for each scenario."""
    lines = [
        "# Reliability",
        "",
        f"Written by `make kill-test ROUNDS={rounds}` (seed {seed}) on {datetime.now(UTC):%Y-%m-%d}",
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, {minutes:.0f} minutes.",
        "",
        "Each round runs real processes against the simulator, injects the fault at random moments (in most scenarios",
        "several times), lets the product recover, and compares every issue and its whole history with the simulator's",
        "own records. What each scenario does is written in `tests/reliability/scenarios.py`.",
        "",
        "| scenario | rounds | lost | doubled | wrong values or histories | not finished |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, scenario in SCENARIOS.items():
        what = (scenario.__doc__ or "").splitlines()[0].rstrip(".")
        if name in impossible:
            lines.append(f"| {what} | not run: {impossible[name]} | | | | |")
        elif (found := results.get(name, [])) or name in unfinished:
            counts = [sum(getattr(each, kind) for each in found) for kind in ("lost", "doubled", "wrong")]
            rounds_of = len(found) + unfinished.get(name, 0)
            lines.append(f"| {what} | {rounds_of} | {' | '.join(map(str, counts))} | {unfinished.get(name, 0)} |")
    every = [each for found in results.values() for each in found]
    totals = [sum(getattr(each, kind) for each in every) for kind in ("lost", "doubled", "wrong")]
    stuck = sum(unfinished.values())
    lines += [f"| **all** | {len(every) + stuck} | {' | '.join(map(str, totals))} | {stuck} |", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
