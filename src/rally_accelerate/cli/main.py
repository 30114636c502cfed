"""The ``rally-accelerate`` command group, error handling and exit codes."""

import sys
import traceback

import click

from rally_accelerate import __version__
from rally_accelerate.cli import admin, check, demo, migrate, plugin, sandbox, serve, sync
from rally_accelerate.cli.output import INTERNAL_ERROR, internal_error_text, redact, show_error
from rally_accelerate.errors import ConfigError, RallyAccelerateError

#: Exit codes, as the README tells them.
DONE, CONFIGURATION, REFUSED, PARTIAL, STOPPED = 0, 2, 3, 4, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rally-accelerate")
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
def commands(*, debug: bool) -> None:
    """Sync Rally work items and their history to HCL Accelerate.

    Exit codes: 0 success, 2 invalid settings, 3 refused or unreachable, 4 partial (some items were left out).
    """
    del debug


for command in (
    sync.sync,
    check.check,
    check.explain,
    check.coverage_command,
    check.verify,
    serve.serve,
    admin.integrations,
    admin.users,
    admin.secrets,
    plugin.plugin,
    migrate.migrate,
    demo.demo,
    sandbox.sandbox,
):
    commands.add_command(command)


def main() -> None:
    """Run the command line; tracebacks are only shown with ``--debug``."""
    debug = "--debug" in sys.argv
    try:
        sys.exit(commands.main(standalone_mode=False) or DONE)
    except click.exceptions.Abort:
        sys.exit(STOPPED)
    except click.ClickException as error:
        error.show()
        sys.exit(CONFIGURATION)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(STOPPED)
    except RallyAccelerateError as error:
        show_error(error)
        sys.exit(CONFIGURATION if isinstance(error, ConfigError) else REFUSED)
    except Exception as error:  # noqa: BLE001 - the last place before the user: a bug gets a sentence, not a traceback
        if debug:
            click.echo(redact(traceback.format_exc()), err=True)
        else:
            click.echo(internal_error_text(error), err=True)
        sys.exit(INTERNAL_ERROR)
