"""Everything on one machine: the five services behind Envoy, started by `mixdown up`."""
