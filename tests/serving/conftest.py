from tests.serving.fixtures import client, empty_registry, open_shop, shop

__all__ = ["client", "empty_registry", "open_shop", "shop"]
