"""How the admin looks: names, marks and colours for django-unfold. What is in the menu is in navigation.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.templatetags.static import static

if TYPE_CHECKING:
    from django.http import HttpRequest


def _logo(_request: HttpRequest) -> str:
    return static("deploypanel/logo.svg")


def _favicon(_request: HttpRequest) -> str:
    return static("deploypanel/favicon.svg")


def _stylesheet(_request: HttpRequest) -> str:
    return static("deploypanel/panel.css")


def _script(_request: HttpRequest) -> str:
    return static("deploypanel/panel.js")


# Indigo: far from the green, red, amber and blue that states of work use. The 500 is lighter than
# usual, because it is the colour of links on the dark background (4.5 to 1 and more).
_PRIMARY = {
    "50": "oklch(96.2% .018 272.3)",
    "100": "oklch(93% .034 272.8)",
    "200": "oklch(87% .065 274)",
    "300": "oklch(78.5% .115 274.7)",
    "400": "oklch(72% .15 275)",
    "500": "oklch(68% .165 276)",
    "600": "oklch(51.1% .24 277)",
    "700": "oklch(45.7% .24 277)",
    "800": "oklch(39.8% .195 277.4)",
    "900": "oklch(35.9% .144 278.7)",
    "950": "oklch(25.7% .09 281.3)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Deploypanel",
    "SITE_HEADER": "Deploypanel",
    "SITE_URL": None,
    "SITE_ICON": _logo,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _favicon}],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": _PRIMARY},
    "STYLES": [_stylesheet],
    "SCRIPTS": [_script],
    "DASHBOARD_CALLBACK": "deploypanel.dashboard.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "deploypanel.navigation.navigation",
    },
}
