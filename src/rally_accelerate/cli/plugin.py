"""``rally-accelerate plugin``: the commands of the plug-in container."""

import click

from rally_accelerate.plugin.entry import main


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, metavar="getManifest | scheduledEvents EVENT PROCESS VELOCITY"
)
def plugin(*, words: tuple[str, ...]) -> int:
    """Run a command of the plug-in container.

    getManifest prints the manifest. scheduledEvents syncRallyDataEvent runs the event once with the two JSON arguments
    that Accelerate passes: processProps and velocityProps.
    """
    return main(words)
