"""One view over all rooms: every system checked, the state on one screen, one person's story."""
