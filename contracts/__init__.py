"""The formats that one stage hands to another, and the protocols of the index and the registry."""
