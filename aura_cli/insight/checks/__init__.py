"""One module a system: `check` looks at it and gives what it finds, as far as it gets."""
