"""What the plug-in tells of itself, for every door: the manifest, the container and the embedded host's pages."""

from rally_accelerate.config.model import PLUGIN_ID

__all__ = ["DESCRIPTION", "DISPLAY_NAME", "EVENT", "EVENT_DESCRIPTION", "INTERVAL_MINUTES", "PLUGIN_ID"]

DISPLAY_NAME = "Rally"

DESCRIPTION = (
    "Imports stories, defects and other work items from a Rally server as issues, with their full history, and keeps "
    "them up to date."
)

#: The one scheduled event (accelerate-api-notes.md#ucv-ext-rally).
EVENT = "syncRallyDataEvent"

EVENT_DESCRIPTION = (
    "Queries the Rally server for stories and defects to import into HCL Accelerate issues. If the Rally data already "
    "exists as an issue, the issue is updated."
)

INTERVAL_MINUTES = 5
