"""The door that Accelerate knocks at: the plug-in container's commands (accelerate-api-notes.md#plug-in-container)."""
