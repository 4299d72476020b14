"""The steward's door: what a delivered batch must be before it becomes data."""
