"""The host's pages: server-rendered, without scripts, nothing from other machines."""
