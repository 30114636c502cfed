"""Value streams: their document, what an import of one changes, their stages with items, and an item's way through."""
