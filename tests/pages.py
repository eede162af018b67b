"""What every page must keep to."""

import re
from collections import Counter


def check_links(page: str) -> None:
    """Each link within the page leads to one place, and no id has spaces."""
    places = Counter(re.findall(r' id="([^"]*)"', page))
    links = set(re.findall(r'href="#([^"]*)"', page))
    assert links
    assert links <= set(places)
    assert [place for place, count in places.items() if count > 1 or re.search(r"\s", place)] == []
