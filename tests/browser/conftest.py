"""Headless Chromium, pictures kept in `var/screens/`, and the basics that every page must hold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.browser.thread import Remote

SCREENS = Path(__file__).resolve().parent.parent.parent / "var" / "screens"
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
]
FAILED = pytest.StashKey[bool]()
DESK = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}

# Counts what scripts of the page are fetching, and when the last of it came.
COUNT_FETCHES = """
(() => {
  const fetching = { open: 0, last: 0 };
  window.dpFetching = fetching;
  const real = window.fetch;
  window.fetch = async (...given) => {
    fetching.open += 1;
    try {
      return await real(...given);
    } finally {
      fetching.open -= 1;
      fetching.last = performance.now();
    }
  };
})();
"""
CALM = """
async () => {
  if (document.readyState !== "complete") return false;
  await document.fonts.ready;
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  const moves = (one) => one.playState === "running" && one.effect.getComputedTiming().endTime !== Infinity;
  if (document.getAnimations().some(moves)) return false;
  return window.dpFetching.open === 0 && performance.now() - window.dpFetching.last > 60;
}
"""

# What a page must not lack, as sentences; an empty list is a good page.
BASICS = """
() => {
  const wrong = [];
  const seen = (element) => element.checkVisibility({ checkVisibilityCSS: true });
  const heads = [...document.querySelectorAll("h1")].filter(seen);
  if (heads.length !== 1) wrong.push(`${heads.length} level-one headings`);
  for (const image of document.querySelectorAll("img:not([alt])")) wrong.push(`no alt: ${image.outerHTML}`);
  const fields = document.querySelectorAll("#main input, #main select, #main textarea, #content input");
  for (const field of fields) {
    if (["hidden", "submit", "button"].includes(field.type) || !seen(field)) continue;
    const named = field.labels?.length || field.ariaLabel || field.getAttribute("aria-labelledby") || field.title;
    if (!named) wrong.push(`no label: ${field.outerHTML.slice(0, 160)}`);
  }
  for (const button of document.querySelectorAll("#main button")) {
    const named = button.textContent.trim() || button.ariaLabel || button.title;
    if (seen(button) && !named) wrong.push(`no name: ${button.outerHTML.slice(0, 160)}`);
  }
  const ids = [...document.querySelectorAll("#main [id]")].map((element) => element.id);
  for (const id of new Set(ids)) {
    if (ids.filter((other) => other === id).length > 1) wrong.push(`twice: id ${id}`);
  }
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) {
    const wide = [...document.querySelectorAll("#main *")]
      .filter((element) => seen(element) && element.getBoundingClientRect().right > page.clientWidth + 1)
      .slice(0, 3).map((element) => element.outerHTML.slice(0, 120));
    wrong.push(`scrolls sideways: ${page.scrollWidth} > ${page.clientWidth}: ${wide.join(" | ")}`);
  }
  return wrong;
}
"""

# Text of ours whose contrast with what lies behind it is below 4.5 to 1 (3 to 1 when large).
CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const wrong = new Set();
  const walker = document.createTreeWalker(document.querySelector("#main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility({ checkVisibilityCSS: true })) continue;
    if (element.closest(":disabled, [aria-disabled=true], svg, option, .dp-visually-hidden")) continue;
    if (element.closest(".material-symbols-outlined")) continue;
    const style = getComputedStyle(element);
    const under = behind(element);
    const [a, b] = [light(over(rgba(style.color), under)), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      const words = walker.currentNode.textContent.trim().slice(0, 40);
      wrong.add(`${ratio.toFixed(2)}: ${element.tagName} .${element.className} “${words}”`);
    }
  }
  return [...wrong];
}
"""


@dataclass
class Surfer:
    """A page of the browser, with what the tests do over and over."""

    page: Any  # a Playwright Page, in the browser's thread
    base: str

    def go(self, address: str) -> Any:
        self.page.goto(self.base + address)
        return self.page

    def sign_in(self, name: str, password: str) -> None:
        self.go("/admin/login/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", password)
        self.page.click("#login-form button[type=submit]")
        self.page.wait_for_url("**/admin/")

    def enter(self, name: str) -> None:
        """Signed in already, for a server that shares the test's database: the form has a test of its own."""
        client = Client()
        client.force_login(User.objects.get(username=name))
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": self.base}])

    def settle(self) -> None:
        """Until nothing is being fetched or moves, the fonts are there, and what was changed has been drawn."""
        self.page.wait_for_function(CALM)

    def shoot(self, name: str, *, full: bool = True) -> Path:
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.mouse.move(0, 0)
        path = SCREENS / f"{name}.png"
        self.page.screenshot(path=str(path), full_page=full, animations="disabled")
        return path

    def look_at(self, pages: dict[str, str], look: str) -> list[str]:
        """Open and shoot each of the pages (addresses by name); what is wrong with them."""
        wrong = []
        for name, address in pages.items():
            self.go(address)
            self.settle()
            self.shoot(f"{name}-{look}")
            wrong += [f"{name}: {fault}" for fault in self.faults()]
        return wrong

    def faults(self) -> list[str]:
        """What is wrong with this page: labels, alternatives, headings, sideways scrolling, contrast."""
        self.settle()
        return [*self.page.evaluate(BASICS), *self.page.evaluate(CONTRAST)]


@pytest.fixture(scope="session", autouse=True)
def static_folder() -> None:
    """The live server is made before a test's settings are; WhiteNoise warns of a missing folder."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is missing: apt-get install chromium (make setup does it as root)")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser") as pool:
        playwright = Remote(pool, sync_playwright)().start()
        browser = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        yield browser
        browser.close()
        playwright.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Leaves word of a failure for `surf`, which then keeps a picture of what was there to see."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def surf(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Surfer]]:
    """`surf(base, dark=False, phone=False)` opens a fresh browser profile; its script errors fail the test."""
    errors: list[str] = []
    contexts = []
    opened: list[Surfer] = []

    def open_one(base: str, *, dark: bool = False, phone: bool = False, script: bool = True) -> Surfer:
        context = chromium.new_context(
            viewport=PHONE if phone else DESK,
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            has_touch=phone,
        )
        contexts.append(context)
        context.add_init_script(COUNT_FETCHES)
        page = context.new_page()
        page.set_default_timeout(float(os.environ.get("BROWSER_TIMEOUT", "30000")))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        opened.append(Surfer(page, base))
        return opened[-1]

    yield open_one
    if request.node.stash.get(FAILED, False):
        for surfer in opened:
            surfer.shoot(f"failed-{request.node.name}")
    for context in contexts:
        context.close()
    assert errors == []
