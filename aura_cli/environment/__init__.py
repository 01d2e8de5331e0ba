"""What `aura` is configured for, and what its database belongs to."""
