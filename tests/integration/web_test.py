#!/usr/bin/python3
"""The web page: it is served, needs nothing from elsewhere, and a browser shows the fleet with it, live."""
import html.parser
import json
import re
import unittest
import urllib.error
import urllib.request

import wire
from browser import CHROMIUM, Browser
from fleet_fixture import FleetTest, accepts, free_port, wait_until
from spoken_device import SpokenDevice

VOID = {"meta", "link", "br", "input", "img"}  # elements without an end
REPORTED, EVENT_STREAM = 9, 1                  # EventKind, Stream
START_S = 60                                   # for a browser on a busy machine


class Page(html.parser.HTMLParser):
    """Checks that each element ends, and gathers what a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.loads = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open} at {self.getpos()}"
        self.open.pop()


class Served(FleetTest):
    def test_it_is_one_whole_page(self):
        self.start_all(0)
        status, text = self.fleet.get("/")
        self.assertEqual(status, 200)
        page = Page(text)
        self.assertEqual(page.open, [])
        self.assertLessEqual({"html", "title", "table", "script", "style"}, set(page.tags))
        self.assertEqual([address for address in page.loads if not address.startswith("data:")], [])
        self.assertIsNone(re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write", text))


@unittest.skipUnless(CHROMIUM, "chromium is not installed")
class InABrowser(FleetTest):
    def setUp(self):
        self.start_all()
        self.by_hand = SpokenDevice(self.fleet, "by-hand", entities=[1, 2], fail_safe=True)
        self.browser = Browser(self.fleet.directory, f"http://127.0.0.1:{self.fleet.http_port}/")
        self.addCleanup(self.browser.close)
        wait_until("both are shown", lambda: self.cell("by-hand", ".state") == "online" and
                   self.cell("pi-1", ".state") == "online", START_S)

    def cell(self, device, what):
        """The text of an element in the row of a device; None: there is none."""
        return self.browser.evaluate(f"""document.querySelector('tr[data-id="{device}"] {what}')?.textContent""")

    def text(self, element):
        return self.browser.evaluate(f"document.getElementById('{element}').textContent")

    def test_devices_and_their_badges_are_shown(self):
        wait_until("entities are shown", lambda: self.cell("by-hand", ".entity.online:nth-child(2)") == "2")
        self.assertEqual(self.cell("by-hand", ".fail-safe"), "fail-safe")
        self.assertIsNone(self.cell("pi-1", ".fail-safe"))
        self.assertRegex(self.cell("pi-1", ".heartbeat"), r"^[\d.]+ m?s$")
        self.assertRegex(self.text("summary"), "^devices: 2 · 2 online · 1 in fail-safe · entities: 5 ")
        self.assertEqual(self.text("trouble"), "")

    def test_the_ledger_and_what_is_wrong_with_it_are_shown(self):
        event = wire.message({1: 1_700_000_000_000, 2: REPORTED, 4: b"door_open"})
        self.by_hand.publish("event", wire.message({1: 1, 2: 1, 3: event}), qos=1)
        wait_until("it is stored", lambda: self.cell("by-hand", "td:last-child") == "1 = 1 + 0 + 0")
        made_three_and_has_none = wire.message({1: EVENT_STREAM, 2: 1, 3: 3, 4: 0})
        self.by_hand.publish("ledger", wire.message({1: 1, 2: 1, 3: made_three_and_has_none}), qos=1)
        wait_until("it is told", lambda: self.cell("by-hand", "td.bad") == "3 = 1 + 0 + 2 does not balance")
        self.assertIn("1 not in balance", self.text("summary"))

    def test_signals_of_the_device_in_the_address_are_shown(self):
        port = free_port()
        self.fleet.start_device("fed", "--http", f"127.0.0.1:{port}")
        samples = {"samples": [{"signal": "engine/rpm", "value": 3500}, {"signal": "engine/<b>", "value": 1}]}
        wait_until("it takes samples", lambda: accepts(port))
        request = urllib.request.Request(f"http://127.0.0.1:{port}/telemetry", json.dumps(samples).encode())
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(request)  # the second one has no name that can be
        samples["samples"].pop()
        urllib.request.urlopen(urllib.request.Request(request.full_url, json.dumps(samples).encode())).close()
        wait_until("it is shown", lambda: self.cell("fed", ".state") == "online")
        detail = "document.querySelector('tr[data-id=fed] + tr.detail')?.textContent"
        self.assertIsNone(self.browser.evaluate(detail))
        self.browser.evaluate("document.querySelector('tr[data-id=fed] a').click()")
        wait_until("its signals are shown", lambda: self.browser.evaluate(detail) == "engine/rpm3500")
        self.browser.evaluate("document.querySelector('tr[data-id=fed] a').click()")
        wait_until("and no longer", lambda: self.browser.evaluate(detail) is None)

    def test_changes_are_shown_as_they_happen(self):
        self.by_hand.say_online(fail_safe=False)
        wait_until("the badge goes", lambda: self.cell("by-hand", ".fail-safe") is None)
        self.fleet.wait_settled()
        self.fleet.devices["pi-1"].kill()
        wait_until("it is offline", lambda: self.cell("pi-1", ".state.offline") == "offline")
        self.assertEqual(self.cell("pi-1", ".reason"), " (lost)")
        self.fleet.start_device("pi-1")
        wait_until("it is back", lambda: self.cell("pi-1", ".state.online") == "online")

    def test_a_server_that_is_gone_is_told_and_its_return_is_noticed(self):
        self.fleet.server.kill()
        wait_until("it is told", lambda: self.text("trouble").startswith("The server is not reachable since"))
        self.fleet.start_server()
        wait_until("it is back", lambda: self.text("trouble") == "")
        self.fleet.start_device("pi-2")
        wait_until("the page lives", lambda: self.cell("pi-2", ".state.online") == "online")


if __name__ == "__main__":
    if not CHROMIUM:
        print("skipped: what the page shows, because chromium is not installed")
    unittest.main()
