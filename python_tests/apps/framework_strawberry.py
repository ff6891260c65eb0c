"""strawberry-graphql: queries and subscriptions with large results."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import strawberry
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    """Read once."""

    @strawberry.field
    def text(self, size: int) -> str:
        """As long as asked for."""
        return "q" * size


@strawberry.type
class Subscription:
    """Read as it comes."""

    @strawberry.subscription
    async def texts(self, sizes: list[int]) -> AsyncGenerator[str, None]:
        """One after the other."""
        for size in sizes:
            yield "s" * size


app = GraphQL[object, object](strawberry.Schema(query=Query, subscription=Subscription))
