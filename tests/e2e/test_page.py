"""The status page in a real headless Chromium, driven over the DevTools protocol, against the real program."""

import base64
import io
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: `apt-get install chromium`"),
]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


class Running(Protocol):
    @property
    def url(self) -> str: ...


class Tab:
    """One page of a browser over its DevTools socket; keeps what the console said."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        self.requested: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case _:
                pass

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def light(self, scheme: str) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str, *, limit_s: float = 30.0) -> Any:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if found := self.run(script):
                return found
            time.sleep(0.1)
        raise AssertionError(f"`{script}` did not become true within {limit_s} s; console: {self.complaints}")

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")


def launch(profile: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a browser with a profile of its own; returns it and the address of its first page's socket."""
    assert CHROMIUM is not None
    browser = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    active = profile / "DevToolsActivePort"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if active.exists() and (lines := active.read_text().split()):
            with httpx.Client(trust_env=False) as client:
                pages = client.get(f"http://127.0.0.1:{lines[0]}/json/list").json()
            for page in pages:
                if page["type"] == "page":
                    return browser, page["webSocketDebuggerUrl"]
        time.sleep(0.1)
    browser.kill()
    raise AssertionError("Chromium opened no page within 60 s")


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    browser, address = launch(tmp_path / "profile")
    with connect(address, max_size=None, proxy=None) as socket:
        made = Tab(socket)
        made.size(1280, 720)
        yield made
    browser.terminate()
    browser.wait(20)


@pytest.fixture
def open_page(tab: Tab, twin: Running) -> Callable[[], Tab]:
    """Opens the page and waits until it shows a measured figure."""

    def opened() -> Tab:
        tab.open(twin.url)
        tab.wait("document.querySelector('#clock')?.textContent.includes(':')")
        tab.wait("document.querySelector('.suggestions') !== null")
        return tab

    return opened


def map_luminance(tab: Tab) -> np.ndarray:
    image = Image.open(io.BytesIO(tab.picture())).convert("L")
    return np.asarray(image, dtype=np.float64)[120:500, 320:880]


def test_the_map_is_drawn_and_nothing_outside_is_asked(open_page: Callable[[], Tab], twin: Running) -> None:
    tab = open_page()
    time.sleep(1.0)
    assert map_luminance(tab).var() > 50
    assert [url for url in tab.requested if not url.startswith(twin.url)] == []
    assert tab.complaints == []


def test_the_legend_follows_the_chosen_kpi(open_page: Callable[[], Tab]) -> None:
    tab = open_page()
    before = tab.text("#ticks")
    tab.run(
        "(() => { const s = document.querySelector('#kpi'); s.value = 'vsData6gMeanSsSinr';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    tab.wait("document.querySelector('#ticks').innerText.includes('dB')")
    assert tab.text("#ticks") != before
    assert tab.complaints == []


def test_a_question_gets_an_answer_with_a_number_and_evidence_to_click(open_page: Callable[[], Tab]) -> None:
    tab = open_page()
    tab.run("document.querySelector('#question').focus()")
    tab.call("Input.insertText", text="What is the load of cell 2-1?")
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    tab.wait("document.querySelector('.answer button.chip') !== null")
    assert re.search(r"\d", tab.text(".answer .text"))
    tab.run("document.querySelector('.answer button.chip').click()")
    tab.wait("document.querySelector('#inspector h2') !== null")
    assert "2-1" in tab.text("#inspector h2")
    assert tab.complaints == []


def test_a_click_on_the_map_selects_and_escape_clears(open_page: Callable[[], Tab]) -> None:
    tab = open_page()
    tab.run("document.querySelector('#map').focus()")
    tab.call("Input.dispatchKeyEvent", type="keyDown", key=".", code="Period", text=".")
    tab.wait("document.querySelector('#inspector h2')?.innerText.length > 0")
    time.sleep(0.8)
    box = tab.run(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
        "(document.querySelector('#map').getBoundingClientRect())"
    )
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape")
    tab.wait("document.querySelector('#inspector').hidden")
    tab.click(*box)
    tab.wait("!document.querySelector('#inspector').hidden")
    assert tab.complaints == []


def test_a_change_is_approved_by_its_button_and_its_effect_is_told(open_page: Callable[[], Tab], twin: Running) -> None:
    with httpx.Client(base_url=twin.url, trust_env=False) as client:
        actions = [{"entity": "cell-19-3", "attribute": "digitalTilt", "value": 90}]
        proposed = client.post("/v1/changes", json={"reason": "seen in a browser", "actions": actions}).json()
    card = f"[aria-label='Change {proposed['id']}']"
    tab = open_page()
    tab.run("document.querySelector('#tab-changes').click()")
    tab.wait(f"document.querySelector({json.dumps(card)}) !== null")
    assert proposed["actions"][0]["in_words"].replace("->", "\N{RIGHTWARDS ARROW}") in tab.text(f"{card} .plan")
    tab.wait(f"document.querySelector({json.dumps(card + ' .primary')}) !== null")  # the shadow twin has tried it out
    assert "cell-19-3" in tab.text(f"{card} .shadow")
    tab.run(f"document.querySelector({json.dumps(card + ' .primary')}).click()")
    tab.wait(f"document.querySelector({json.dumps(card + ' .state.committed')}) !== null", limit_s=60)
    assert "Cell 19-3" in tab.text(f"{card} .effects")
    assert tab.complaints == []


def test_of_several_scenes_one_is_shown_and_another_can_be_chosen(tab: Tab, start_twin: Callable[..., Running]) -> None:
    twin = start_twin("--past", "0", "--no-scene", "--scene", "campus", "--scene", "harbour").wait_ready()  # type: ignore[attr-defined]
    shown = "document.querySelector('#scene:not([hidden])')?.value"
    tab.open(twin.url)
    tab.wait(f"{shown} === 'campus'")
    tab.wait("document.querySelector('.suggestions') !== null")
    tab.run("(() => { const s = document.querySelector('#scene'); s.value = 'harbour'; s.onchange(); })()")
    tab.wait(f"location.search === '?scene=harbour' && {shown} === 'harbour'")
    tab.wait("document.querySelector('.suggestions') !== null")
    asked = [url for url in tab.requested if "/v1/live" in url or "/v1/alarms" in url]

    assert {"campus", "harbour"} == {url.rpartition("scene=")[2] for url in asked}
    assert tab.complaints == []
