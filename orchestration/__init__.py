"""The Dagster code location, the sources, the expectations, and the command line `threadline`."""

import warnings

# Dagster's own sensor decorators pass a parameter that Dagster then warns of; nobody here has set it.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")
