"""What the server keeps, in one database; SQLite today, the same tables on PostgreSQL later."""
