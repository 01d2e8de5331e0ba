"""The stand-ins, their population and their faults."""
