"""Which scans a command line names, and how they are read, a few at a time; nothing is segmented here."""
