"""The command-line protocol of the plug-in container: command names, event, and exit codes.

See accelerate-api-notes.md#commands and accelerate-api-notes.md#output-and-exit-codes.
"""

#: Exit codes.
DONE, FAILED, STOPPED = 0, 1, 143

#: The name of the program in Node's plug-ins; the platform passes it as the first argument.
SCRIPT = "velocity-plugin.min.js"

EVENT = "syncRallyDataEvent"
GET_MANIFEST, SCHEDULED_EVENTS = "getmanifest", "scheduledevents"

#: Commands of the platform that this plug-in does not support.
OTHERS = ("endpoints", "taskDefinitions", "eventTriggers", "qualityHandlers", "automationTasks")

#: ``scheduledEvents``, the event, and its two arguments.
WORDS_OF_AN_EVENT = 4
