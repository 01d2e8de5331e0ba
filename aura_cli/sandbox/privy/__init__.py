"""A stand-in of Privy's server API, stateful and in memory: what `aura` asks of https://docs.privy.io/api-reference, no more."""
