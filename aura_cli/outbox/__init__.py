"""Effects that happen after a commit, once: mail, forwarding, analytics."""
