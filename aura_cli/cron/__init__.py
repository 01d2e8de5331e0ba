"""Jobs that a clock starts: time limits, one at a time, alerts, check-ins, figures."""
