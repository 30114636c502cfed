"""Change the core modules line by line, and write how many changes their tests notice to MUTANTS.md."""

import argparse
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
WORK = ROOT / "build" / "mutants"
MUTMUT = (sys.executable, "-m", "mutmut")
EXPLANATIONS = HERE / "mutants_explained.toml"

#: What the tests read besides the sources.
COPIED = ("tests", "docs", "tools", "bench", "README.md", "CHANGELOG.md")

#: Whole runs against a small source, without those that repeat a run for each moment of a crash.
ENGINE = (
    "tests/unit/sync/test_tally.py",
    "tests/unit/sync/test_engine.py",
    "tests/unit/sync/test_engine_plans.py",
    "tests/unit/sync/test_engine_report.py",
    "tests/unit/sync/test_resends.py",
    "tests/unit/sync/test_unfinished_histories.py",
    "tests/unit/sync/test_remapping.py::test_other_rules_are_applied_to_what_is_kept_without_asking_for_it",
    "tests/unit/sync/test_remapping.py::test_rules_that_need_more_than_was_read_ask_for_everything",
    "tests/unit/sync/test_remapping.py::test_what_is_not_kept_is_asked_for",
    "tests/unit/sync/test_remapping.py::test_an_item_that_is_owed_stays_owed",
    "tests/unit/sync/test_remapping.py::test_what_is_kept_does_not_settle_what_is_owed",
    "tests/unit/sync/test_remapping.py::test_a_kept_item_that_cannot_be_mapped_is_owed_as_what_it_is",
    "tests/unit/sync/test_remapping.py::test_a_kept_item_that_cannot_be_mapped_is_read_by_its_id",
    "tests/unit/sync/test_remapping.py::test_rules_that_need_less_are_what_later_items_are_read_with",
    "tests/unit/sync/test_remapping.py::test_what_was_mapped_is_remembered_before_anything_is_asked",
    "tests/unit/sync/test_remapping.py::test_what_is_kept_and_cannot_be_read_stops_the_run_before_anything_is_asked",
    "tests/unit/sync/test_removals.py::test_a_deleted_item_is_told_in_the_second_run_after",
    "tests/unit/sync/test_removals.py::test_a_restored_item_has_its_own_status_again",
    "tests/unit/sync/test_removals.py::test_an_item_that_moves_out_and_back",
    "tests/unit/sync/test_removals.py::test_too_many_at_once_are_withheld_until_somebody_approves",
    "tests/unit/sync/test_timebox_watch.py::test_a_renamed_sprint_is_told_in_every_item_and_sent_once",
    "tests/unit/sync/test_timebox_watch.py::test_an_item_that_changed_as_well_is_sent_once",
    "tests/unit/sync/test_timebox_watch.py::test_what_no_item_carries_is_not_asked_for",
    "tests/unit/sync/test_timebox_watch.py::test_a_service_that_refuses_does_not_fail_the_run_and_nothing_is_missed",
)

#: Each core module with the tests that concern it. Fast ones: each mutant runs them until the first failure.
MODULES: dict[str, tuple[str, ...]] = {
    "config/secret_recipients.py": (
        "tests/unit/config/test_secret_recipients.py",
        "tests/unit/config/test_secret_recipient_causes.py",
    ),
    "accelerate/payload.py": (
        "tests/unit/accelerate/test_payload.py",
        "tests/unit/accelerate/test_input_object.py",
        "tests/unit/accelerate/test_removed_issue_payload.py",
    ),
    "mapping/history.py": (
        "tests/unit/mapping/test_history_of.py",
        "tests/unit/mapping/test_history_entries.py",
        "tests/unit/mapping/test_issue.py",
    ),
    "sync/plan.py": ("tests/unit/sync/test_plan.py", "tests/unit/sync/test_plan_progress.py"),
    "rally/keyset_paging.py": (
        "tests/unit/rally/test_keyset_paging.py",
        "tests/unit/rally/test_keyset_pages.py",
        "tests/unit/rally/test_listings.py",
        "tests/unit/rally/test_revision_ranges.py",
        "tests/unit/rally/test_row_conversion.py",
    ),
    "sync/engine.py": ENGINE,
    "sync/mapper.py": ENGINE,
    "server/web/security.py": ("tests/unit/server/test_security.py",),
    "server/store/issue_writer.py": ("tests/unit/server/test_issue_writer.py",),
}

SETTINGS = """
[tool.mutmut]
source_paths = ["src/rally_accelerate", "src/rally_sandbox"]
only_mutate = ["src/rally_accelerate/{module}"]
pytest_add_cli_args_test_selection = {tests}
also_copy = {copied}
max_stack_depth = -1
timeout_multiplier = 2.0
timeout_constant = 30.0
"""

#: mutmut's word for each result, as the column that counts it. A mutant that loops or crashes is noticed.
COLUMNS = {
    "killed": "killed",
    "timeout": "timed out",
    "segfault": "killed",
    "survived": "survived",
    "no tests": "not covered",
    "not checked": "not tested",
}

#: Shows several mutants, with a line before each.
BETWEEN = "-- mutant --\n"
SHOWN = f"""
import sys
from mutmut.__main__ import cli
for name in sys.argv[1:]:
    print({BETWEEN!r}, end="", flush=True)
    cli.main(["show", name], standalone_mode=False)
"""

#: What is tested again.
AGAIN = frozenset({"timed out", "survived", "not covered"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change that no test noticed."""

    module: str
    function: str
    removed: str
    added: str
    result: str


@dataclass(frozen=True, slots=True)
class Score:
    """What became of the mutants of one module."""

    module: str
    counts: Mapping[str, int]
    unnoticed: Sequence[Mutant]
    #: Whether the module is still what was measured.
    current: bool

    @property
    def total(self) -> int:
        """The number of mutants that were tested."""
        return sum(self.counts.values()) - self.counts.get("not tested", 0)

    @property
    def noticed(self) -> int:
        """The number of mutants that a test noticed."""
        return self.counts.get("killed", 0) + self.counts.get("timed out", 0)


def main() -> int:
    """Run the modules in turn; return 1 when the score is too low or a surviving mutant is not explained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=MODULES, default=list(MODULES), help="only these modules")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that are tested at the same time")
    parser.add_argument("--least", type=float, default=85.0, help="the percentage that the tests must notice")
    parser.add_argument(
        "--again", action="store_true", help="test only what no test noticed in the last run, or too late"
    )
    parser.add_argument("--reuse", action="store_true", help="count the results of the last run, without a new one")
    parser.add_argument("--output", type=Path, default=HERE / "MUTANTS.md", help="where the page is written")
    options = parser.parse_args()
    explained = explanations(EXPLANATIONS.read_text()) if EXPLANATIONS.exists() else {}
    scores = []
    for module in options.only:
        if options.again:
            test_again(module, jobs=options.jobs)
        elif not options.reuse:
            test(module, jobs=options.jobs)
        score = counted(module)
        scores.append(score)
        print(f"{module}: {score.noticed} of {score.total} noticed, {dict(score.counts)}", flush=True)
    options.output.write_text(page(scores, explained))
    print(f"written: {options.output.name}")
    total, noticed = sum(score.total for score in scores), sum(score.noticed for score in scores)
    missing = [each for score in scores for each in score.unnoticed if reason(each, explained) is None]
    for each in missing:
        print(f"not explained: {each.module} {each.function}: {each.removed}  becomes  {each.added}")
    return int(bool(missing) or not total or 100 * noticed / total < options.least)


def folder_of(module: str) -> Path:
    """Return the folder in which a module's mutants are tested."""
    return WORK / module.removesuffix(".py").replace("/", "_")


def test(module: str, *, jobs: int) -> None:
    """Test all mutants of one module in a copy of the project."""
    folder = folder_of(module)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("src", *COPIED):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    settings = SETTINGS.format(module=module, tests=quoted(MODULES[module]), copied=quoted(COPIED))
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + settings)
    run(module, [], jobs=jobs)


def test_again(module: str, *, jobs: int) -> None:
    """Test a module's mutants that survived or timed out, with the tests as they are now."""
    folder = folder_of(module)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    if names := [name for name, result in results(module).items() if COLUMNS.get(result, result) in AGAIN]:
        run(module, names, jobs=jobs)


def run(module: str, names: Sequence[str], *, jobs: int) -> None:
    """Let mutmut test the named mutants of a module; all of them, when none is named."""
    folder = folder_of(module)
    with (folder / "output.txt").open("w") as output:
        ended = subprocess.run(
            [*MUTMUT, "run", "--max-children", str(jobs), *names],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode:
        raise SystemExit(f"{module}: mutmut ended with {ended.returncode}; its output is {output.name}")


def results(module: str) -> dict[str, str]:
    """Return mutmut's word for each mutant of a module."""
    lines = asked(module, "results", "--all", "true").splitlines()
    return dict(line.strip().rsplit(": ", 1) for line in lines if ": " in line)


def quoted(texts: Sequence[str]) -> str:
    """Return texts as a TOML list."""
    return "[" + ", ".join(f'"{each}"' for each in texts) + "]"


def counted(module: str) -> Score:
    """Return what became of a module's mutants."""
    found = {name: COLUMNS.get(result, result) for name, result in results(module).items()}
    names = [name for name, result in found.items() if result not in {"killed", "timed out", "not tested"}]
    unnoticed = [
        Mutant(module, function_of(name), *changed(difference), found[name])
        for name, difference in zip(names, differences(module, names), strict=True)
    ]
    source = Path("src", "rally_accelerate", module)
    current = (folder_of(module) / source).read_bytes() == (ROOT / source).read_bytes()
    return Score(module, Counter(found.values()), unnoticed, current)


def differences(module: str, names: Sequence[str]) -> list[str]:
    """Return what each mutant changes; by one process, as a start of mutmut takes longer than an answer."""
    command = [sys.executable, "-c", SHOWN, *names]
    shown = subprocess.run(command, cwd=folder_of(module), capture_output=True, text=True, check=True).stdout
    return shown.split(BETWEEN)[1:]


def asked(module: str, *arguments: str) -> str:
    """Return what mutmut prints about the last run of a module."""
    command = [*MUTMUT, *arguments]
    return subprocess.run(command, cwd=folder_of(module), capture_output=True, text=True, check=True).stdout


def function_of(name: str) -> str:
    """Return the function that a mutant's name contains, with its class."""
    last = name.rsplit("__mutmut_", 1)[0].rsplit(".", 1)[-1]
    return last.removeprefix("x").strip("ǁ").replace("ǁ", ".") if "ǁ" in last else last.removeprefix("x_")


def changed(difference: str) -> tuple[str, str]:
    """Return the text that a mutant removes and the one that it adds, each as one line."""
    lines = [line for line in difference.splitlines() if not line.startswith(("---", "+++"))]
    return one_line(lines, "-"), one_line(lines, "+")


def one_line(lines: Sequence[str], mark: str) -> str:
    """Join the lines of a difference that begin with a mark."""
    return re.sub(r"\s+", " ", " ".join(line[1:].strip() for line in lines if line.startswith(mark))).strip()


def explanations(text: str) -> dict[tuple[str, str, str], str]:
    """Return the reason for each mutant that may survive, by module, function and new line.

    A mutant that only removes text is named by ``without`` and that text.
    """
    return {
        (each["module"], each["function"], line): each["reason"]
        for each in tomllib.loads(text).get("explained", [])
        for line in each["becomes"]
    }


def reason(mutant: Mutant, explained: Mapping[tuple[str, str, str], str]) -> str | None:
    """Return why a mutant may survive, or None when that is not written."""
    line = mutant.added or f"without {mutant.removed}"
    return explained.get((mutant.module, mutant.function, line))


def page(scores: Sequence[Score], explained: Mapping[tuple[str, str, str], str]) -> str:
    """Return the page: a row for each module, and each mutant that no test noticed."""
    total, noticed = sum(score.total for score in scores), sum(score.noticed for score in scores)
    columns = ("killed", "timed out", "survived", "not covered")
    others = sorted({name for score in scores for name in score.counts} - set(columns))
    shown = (*columns, *others)
    missing = [module for module in MODULES if module not in {score.module for score in scores}]
    command = "bench/mutants.py --only " + " ".join(score.module for score in scores) if missing else "make mutants"
    lines = [
        "# Mutants",
        "",
        f"Written by `{command}` on {datetime.now(UTC):%Y-%m-%d}",
        f"({platform.python_implementation()} {platform.python_version()}, {platform.machine()}).",
        "",
        "A mutant is a copy of a module with one small change, such as `<` in place of `<=`. A test that fails on it",
        "notices (kills) it; so does one that no longer ends. The modules are those that decide whether an item is",
        "lost or doubled, and who can read what. `bench/mutants.py` names the tests that run for each module;",
        "other tests of the suite may notice some of the mutants that these do not.",
        "",
        f"**{percent(noticed, total)} of {total:,} mutants are noticed; {others_explained(scores, explained)}.**",
        "",
        f"| module | mutants | {' | '.join(shown)} | score |",
        f"|---|---:|{'---:|' * len(shown)}---:|",
    ]
    lines += [
        f"| `{score.module}` | {score.total} | {' | '.join(str(score.counts.get(name, 0)) for name in shown)} "
        f"| {percent(score.noticed, score.total)} |"
        for score in scores
    ]
    sums = (str(sum(score.counts.get(name, 0) for score in scores)) for name in shown)
    lines += [f"| **all** | {total} | {' | '.join(sums)} | {percent(noticed, total)} |", ""]
    changed_since = [score.module for score in scores if not score.current]
    lines += [f"Not measured yet: {listed(missing)}.", ""] if missing else []
    lines += [f"Changed since they were measured: {listed(changed_since)}.", ""] if changed_since else []
    for score in scores:
        if score.unnoticed:
            lines += [f"## Not noticed in `{score.module}`", ""]
        for each in score.unnoticed:
            why = reason(each, explained) or "not explained yet"
            lines += [f"`{each.function}` ({each.result}): {why}", "", "```diff"]
            lines += [f"- {each.removed}", *([f"+ {each.added}"] if each.added else []), "```", ""]
    return "\n".join(lines)


def others_explained(scores: Sequence[Score], explained: Mapping[tuple[str, str, str], str]) -> str:
    """Return how many of the mutants that are not noticed are explained, as part of a sentence."""
    reasons = [reason(each, explained) for score in scores for each in score.unnoticed]
    if None in reasons:
        return f"{reasons.count(None)} of the {len(reasons)} others are not explained yet"
    return f"each of the {len(reasons)} others is explained below"


def listed(modules: Sequence[str]) -> str:
    """Return the names of modules as one text."""
    return ", ".join(f"`{module}`" for module in modules)


def percent(part: int, whole: int) -> str:
    """Return a share as a percentage, rounded down: a score is never shown higher than it is."""
    return f"{1000 * part // whole / 10 if whole else 0:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
