"""Value streams: document, import, board and stage history."""
