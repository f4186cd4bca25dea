"""What a turn cost, from pydantic's genai-prices. Its data is in the package: nothing is fetched.

The first look-up loads that data (about 0.4 s and 26 MiB), so it is imported only when there is something to price.
"""

from app.core.conversation import Usage


def price(model: str, usage: Usage, url: str) -> float | None:
    """The turn's price in dollars, None when the model's price is not known. Blocking: call it in a thread.

    A server that has a price list is priced by its URL; any other by the model's name, `vendor/name` included.
    """
    from genai_prices import Usage as Counted  # noqa: PLC0415
    from genai_prices import calc_price  # noqa: PLC0415

    counted = Counted(
        input_tokens=usage.input_tokens, cache_read_tokens=usage.cached_tokens, output_tokens=usage.output_tokens
    )
    try:
        return float(calc_price(counted, model, provider_api_url=url).total_price)
    except LookupError:
        pass
    try:
        # This provider's id means: read `vendor/name`, and without a vendor go by the name alone.
        return float(calc_price(counted, model, provider_id="litellm").total_price)
    except LookupError:
        return None
