"""The commands of the plug-in container (accelerate-api-notes.md#plug-in-container)."""
