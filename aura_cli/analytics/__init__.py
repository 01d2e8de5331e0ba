"""Events for Google Analytics 4."""
