"""From Rally's words to ours; pure."""
