"""The command line `threadline`."""
