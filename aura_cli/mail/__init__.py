"""Mail to customers: templates, rendering, sending, and what became of each."""
