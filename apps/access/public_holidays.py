"""Public holidays of countries and exchanges: the only module that asks the `holidays` package."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import holidays

if TYPE_CHECKING:
    import datetime as dt

PUBLIC = "public"
HALF_DAY = "half_day"


@lru_cache(maxsize=1)
def countries() -> dict[str, list[str]]:
    """Each known country code with its subdivisions."""
    return dict(holidays.list_supported_countries(include_aliases=True))


@lru_cache(maxsize=1)
def exchanges() -> dict[str, list[str]]:
    """Each known exchange or central bank (NYSE, ECB …), usable in place of a country."""
    return dict(holidays.list_supported_financial(include_aliases=True))


def country_problem(country: str, subdivision: str) -> tuple[str, str] | None:
    """The field and the sentence that say what is wrong with this pair; None when nothing is."""
    if not country:
        return ("subdivision", "A subdivision needs its country.") if subdivision else None
    known = countries().get(country, exchanges().get(country))
    if known is None:
        return "country", f"{country}: no such country; use its ISO code, such as FR, or an exchange, such as NYSE."
    if subdivision and subdivision not in known:
        names = ", ".join(known) or "none"
        return "subdivision", f"{subdivision}: {country} has no such subdivision; it has {names}."
    return None


def holiday_name(country: str, subdivision: str, day: dt.date, category: str = PUBLIC) -> str:
    """What is celebrated on that day, in English where the package knows it; empty for an ordinary day."""
    return _year(country, subdivision, day.year, category).get(day, "") if country else ""


@lru_cache(maxsize=512)
def _year(country: str, subdivision: str, year: int, category: str) -> dict[dt.date, str]:
    make: Any = holidays.country_holidays if country in countries() else holidays.financial_holidays
    entity = type(make(country, years=()))
    if category not in entity.supported_categories:
        return {}
    # Always named: left out, the package takes the language of the process's locale.
    language = "en_US" if "en_US" in entity.supported_languages else entity.default_language
    days = make(country, subdiv=subdivision or None, years=[year], language=language, categories=(category,))
    return {day: name for day, name in days.items() if day.year == year}
