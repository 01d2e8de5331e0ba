"""The links of the chain between a person and what they paid for, one module a link: each says how it is broken, if it is."""
