"""What a shell completes of `aura`, and its manual page: made from the command tree beforehand, shown and put in their places here."""
