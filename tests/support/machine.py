"""Say loudly which parts of the suite this machine cannot run, before they are skipped."""

import shutil
import sys

OPTIONAL = {
    "chromium": "the browser tests are skipped: no Chromium (Debian: apt-get install chromium)",
}


def missing() -> list[str]:
    """One sentence for each thing that is not here."""
    return [sentence for program, sentence in OPTIONAL.items() if shutil.which(program) is None]


if __name__ == "__main__":
    for line in missing():
        sys.stdout.write(f"NOTE: {line}\n")
