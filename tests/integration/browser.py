"""A page in a headless chromium, which is asked through the pipe of its debugging protocol."""
import fcntl
import json
import os
import shutil
import subprocess

CHROMIUM = shutil.which("chromium")


def high(descriptor):
    """The same, above those that the shell below redirects."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)
    os.close(descriptor)
    return moved


class Browser:
    def __init__(self, directory, address):
        reads, to_browser = map(high, os.pipe())
        from_browser, writes = map(high, os.pipe())
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "browser", CHROMIUM,
             "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
             "--remote-debugging-pipe", f"--user-data-dir={directory}/browser"],
            pass_fds=[reads, writes], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(reads)
        os.close(writes)
        self.to_browser, self.from_browser = os.fdopen(to_browser, "wb"), os.fdopen(from_browser, "rb")
        self.unread, self.calls = b"", 0
        target = self.call("Target.createTarget", url=address)["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method, session=None, **parameters):
        """Its result."""
        self.calls += 1
        request = {"id": self.calls, "method": method, "params": parameters}
        self.to_browser.write(json.dumps(request | ({"sessionId": session} if session else {})).encode() + b"\0")
        self.to_browser.flush()
        while (answer := self.read()).get("id") != self.calls:
            pass  # something that happened
        assert "result" in answer, answer
        return answer["result"]

    def read(self):
        while b"\0" not in self.unread:
            more = os.read(self.from_browser.fileno(), 1 << 16)
            assert more, f"the browser ended with {self.process.poll()}"
            self.unread += more
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", self.session, expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.to_browser.close()
        self.from_browser.close()
