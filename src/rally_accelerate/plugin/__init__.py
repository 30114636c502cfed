"""The door that Accelerate knocks at: the plug-in container's commands (accelerate-host.md 1)."""
