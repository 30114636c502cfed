"""What the host keeps, in one database; SQLite today, the same tables on PostgreSQL later."""
