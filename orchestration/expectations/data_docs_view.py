"""How Great Expectations' pages of results are written: what comes from the data as text, never as markup."""

from __future__ import annotations

from html import escape
from typing import Any

from great_expectations.render.view.view import DefaultJinjaPageView
from jinja2 import pass_context


class EscapingPageView(DefaultJinjaPageView):
    """The page of Great Expectations, with the plain values in it escaped: its own templates do not."""

    @pass_context
    def render_content_block(self, jinja_context: Any, content_block: Any, *args: Any, **options: Any) -> Any:
        """The block as HTML; what is no block of a template is a value."""
        if isinstance(content_block, list):
            content_block = [escape(one) if isinstance(one, str) else one for one in content_block]
        elif content_block is not None and not _is_block(content_block):
            return escape(str(content_block))
        return super().render_content_block(jinja_context, content_block, *args, **options)


def _is_block(content_block: Any) -> bool:
    return isinstance(content_block, dict) and "content_block_type" in content_block
