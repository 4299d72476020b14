"""Networks, losses, samplers, metrics and the export of model packages."""
