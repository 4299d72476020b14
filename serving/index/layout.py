"""How a new collection is laid out on a Qdrant server or cluster; one that is there keeps its layout."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

Quantisation = Literal["none", "int8", "binary"]


class Layout(BaseModel):
    """The layout of new collections; what is None is left to the server."""

    model_config = ConfigDict(frozen=True)

    shards: PositiveInt | None = None
    """In how many parts a collection lies on the nodes."""
    replicas: PositiveInt | None = None
    """How many nodes hold each part."""
    write_consistency: PositiveInt | None = None
    """How many of them must have taken a write before it counts; at most `replicas`."""
    on_disk: bool = False
    """Whether the full vectors are read from disk; quantised ones stay in memory."""
    quantisation: Quantisation = "none"
    """Smaller vectors that are searched first; what they find is scored again with the full ones."""
