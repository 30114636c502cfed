"""The server-rendered pages. They work without scripts and load nothing from other servers."""
