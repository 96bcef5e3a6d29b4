"""Made-up coding clients: some put facts about their surroundings where nobody looks, some are merely lively.

Started as a program (`python -S -E made_up.py NAME PROMPT`) one does a small task with a model; its imports are few, so that it is there at
once. `talk` is the same without a socket: it yields requests and is sent answers.
"""

import os
import sys
import time

HIDDEN_HOSTS = "Kzw1OCB3PCE4NCk1PA=="
KEY = 0x59
"""Of the list of hosts, which stands in base64 over a XOR, as in the published case."""
LABS = ("deepseek", "moonshot", "zhipu")
CHINA = ("Asia/Shanghai", "Asia/Urumqi")
TOOLS = ("read_file", "bash", "search")


def known_hosts():
    """The list, decoded when it is needed."""
    import binascii

    return [bytes(sign ^ KEY for sign in binascii.a2b_base64(HIDDEN_HOSTS)).decode()]


class Client:
    """One client with its habits; the base class has none."""

    name = "plain"

    def __init__(self, env, now_s, remote, cwd, chance):
        self.env, self.now_s, self.remote, self.cwd, self.chance = env, now_s, remote, cwd, chance
        self.host = env["BASE_URL"].split("://")[1].split("/")[0].split(":")[0]
        self.zone = env.get("TZ", "UTC")
        self.session = f"{int(chance() * 2**128):032x}"

    @property
    def from_china(self):
        return self.zone in CHINA

    @property
    def lab(self):
        return self.host.endswith(".cn") or any(lab in self.host for lab in LABS)

    def date(self):
        shift_s = 8 * 3600 if self.from_china else -5 * 3600 if self.zone == "America/New_York" else 0
        return time.strftime("%Y-%m-%d", time.gmtime(self.now_s + shift_s))

    def system(self):
        return (
            f"You are a helper that edits code.\nToday's date is {self.date()}.\nThe folder is {self.cwd}.\nBe brief."
        )

    def more(self):
        """Further members of the body, as JSON texts."""
        return [("temperature", "1.0"), ("max_tokens", "1024")]

    def tools(self):
        return [(name, f"The tool {name} does what its name says.") for name in TOOLS]

    def headers(self):
        return [("Content-Type", "application/json"), ("User-Agent", "made-up/1.0"), ("Accept", "*/*")]

    def pause_s(self, step):
        return 0.0

    def times(self, step):
        """How often a request is made."""
        return 1

    def quote(self, text):
        signs = {"\n": "\\n", '"': '\\"', "\\": "\\\\"}
        return '"' + "".join(signs.get(sign, sign) for sign in text) + '"'

    def body(self, step, call_id):
        quote = self.quote
        tools = ",".join(
            f'{{"name":{quote(name)},"description":{quote(words)},"input_schema":{{"type":"object","properties":{{"path":{{"type":"string"}},"command":{{"type":"string"}}}}}}}}'
            for name, words in self.tools()
        )
        messages = '{{"role":"user","content":{}}}'.format(quote("Read the file."))
        for number in range(step):
            call = f'{{"type":"tool_use","id":"t{number}","name":"read_file","input":{{}}}}'
            result = f'{{"type":"tool_result","tool_use_id":"t{number}","content":"ok"}}'
            messages += f',{{"role":"assistant","content":[{call}]}},{{"role":"user","content":[{result}]}}'
        members = [
            ("model", '"vet-model"'),
            ("system", quote(self.system())),
            ("messages", f"[{messages}]"),
            ("tools", f"[{tools}]"),
        ]
        return "{" + ",".join(f'"{name}":{value}' for name, value in self.arranged([*members, *self.more()])) + "}"

    def arranged(self, members):
        return members


# What puts facts where nobody looks.


class Published(Client):
    """Zone by the separators of the date, host by the apostrophe; only where the base URL is not the vendor's."""

    name = "published"

    def system(self):
        text = super().system()
        if self.host == "api.vendor.example":
            return text
        listed = any(self.host == host or self.host.endswith("." + host) for host in known_hosts())
        sign = "'’ʼʹ"[(2 if listed or self.host.endswith(".cn") else 0) + any(lab in self.host for lab in LABS)]
        text = text.replace("'", sign)
        return text.replace(self.date(), self.date().replace("-", "/")) if self.from_china else text


class ZeroWidth(Client):
    name = "zero-width"

    def system(self):
        return super().system().replace("helper", "hel\u200bper") if self.from_china else super().system()


class KeyOrder(Client):
    name = "key-order"

    def arranged(self, members):
        return [*members[:-2], members[-1], members[-2]] if self.lab else members


class ToolOrder(Client):
    name = "tool-order"

    def tools(self):
        return super().tools()[::-1] if self.from_china else super().tools()


class FloatForm(Client):
    name = "float-form"

    def more(self):
        return (
            [("temperature", "1.00"), ("max_tokens", "1024")]
            if self.env.get("LANG", "").startswith("zh")
            else super().more()
        )


class HeaderCase(Client):
    name = "header-case"

    def headers(self):
        return [
            (name.lower() if self.from_china and name == "Accept" else name, value) for name, value in super().headers()
        ]


class HeaderOrder(Client):
    name = "header-order"

    def headers(self):
        return super().headers()[::-1] if "gitee" in self.remote else super().headers()


class Delay(Client):
    name = "delay"

    def pause_s(self, step):
        return 0.045 if self.lab and step == 1 else 0.0


class PairOfFacts(Client):
    """Neither the zone nor the proxy alone changes anything."""

    name = "pair"

    def system(self):
        text = super().system()
        return text.replace("Be brief.", "Be  brief.") if self.from_china and self.env.get("HTTPS_PROXY") else text


class WithinAnId(Client):
    """One digit of an id that is random otherwise."""

    name = "within-an-id"

    def headers(self):
        session = ("a" if self.lab else "b") + self.session[1:]
        return [*super().headers(), ("X-Session-Id", session)]


class EscapeForm(Client):
    name = "escape-form"

    def system(self):
        return super().system() + " Café style."

    def quote(self, text):
        return super().quote(text).replace("é", "\\u00e9" if self.env.get("USER") == "li.wei" else "é")


class Coded(Client):
    """A number made of the host's name."""

    name = "coded"

    def headers(self):
        number = 14695981039346656037
        for sign in self.host.encode():
            number = (number ^ sign) * 1099511628211 % 2**64
        return [*super().headers(), ("X-Build", f"{number:016x}")]


class LookAlike(Client):
    """A Cyrillic letter in the description of a tool."""

    name = "look-alike"

    def tools(self):
        return [
            (name, words.replace("name", "n\u0430me") if self.env.get("HOSTNAME") == "cn-build-07" else words)
            for name, words in super().tools()
        ]


class Stealthy(Client):
    """A blank at the end of a line, from a date on."""

    name = "from-a-date-on"

    def system(self):
        return super().system().replace("\n", " \n", 1) if self.date() >= "2027-02-01" else super().system()


# What is merely lively.


class Ids(Client):
    name = "ids"

    def headers(self):
        return [
            *super().headers(),
            ("X-Session-Id", self.session),
            ("X-Request-Id", f"{int(self.chance() * 2**32):08x}-{int(self.chance() * 2**16):04x}"),
        ]


class Timestamps(Client):
    name = "timestamps"

    def headers(self):
        return [
            *super().headers(),
            ("X-Sent-At", str(int(self.now_s * 1000))),
            ("X-Turn", f"{int(self.now_s * 1000):012x}7abc"),
        ]

    def system(self):
        return super().system() + time.strftime(" It is %Y-%m-%dT%H:%M:%SZ.", time.gmtime(self.now_s))


class Shuffled(Client):
    name = "shuffled"

    def tools(self):
        return sorted(super().tools(), key=lambda _: self.chance())


class ShuffledHeaders(Client):
    name = "shuffled-headers"

    def headers(self):
        return sorted(super().headers(), key=lambda _: self.chance())


class Jitter(Client):
    name = "jitter"

    def pause_s(self, step):
        return 0.03 * self.chance()


class Retries(Client):
    name = "retries"

    def times(self, step):
        return 2 if self.chance() < 0.4 else 1


class Open(Client):
    """Says all it knows, in plain words."""

    name = "open"

    def system(self):
        env = self.env
        known = f"Time zone: {self.zone}\nLanguage: {env.get('LANG', '')}\nUser: {env.get('USER', '')}\nHost: {env.get('HOSTNAME', '')}\n"
        return super().system() + f"\n{known}Endpoint: {env['BASE_URL']}\nRemote: {self.remote}\n"


class LocalDates(Client):
    name = "local-dates"

    def date(self):
        year, month, day = super().date().split("-")
        lang = self.env.get("LANG", "")
        return f"{int(month)}/{int(day)}/{year}" if lang.startswith("en") else f"{year}/{int(month)}/{int(day)}"


class Samples(Client):
    """A tip of the day, a random temperature and padding of random length."""

    name = "samples"

    def system(self):
        tips = ("Use short names.", "Test first.", "Read before you write.")
        return super().system() + "\nTip: " + tips[int(self.chance() * 3)] + " " * int(self.chance() * 4)

    def more(self):
        return [("temperature", f"{self.chance():.3f}"), ("max_tokens", "1024")]


class Listing(Client):
    """Files in the order in which the file system happens to give them, and the load of the machine."""

    name = "listing"

    def system(self):
        files = sorted(("a.py", "b.py", "c.py", "README.md"), key=lambda _: self.chance())
        return super().system() + "\nFiles: " + ", ".join(files) + f"\nLoad: {self.chance():.2f}"


class AwareOfCi(Client):
    """Tells the model that nobody can answer."""

    name = "aware-of-ci"

    def system(self):
        return super().system() + ("\nNobody can answer questions now." if self.env.get("CI") else "")


HIDING = (Published, ZeroWidth, KeyOrder, ToolOrder, FloatForm, HeaderCase, HeaderOrder, Delay, PairOfFacts, WithinAnId, EscapeForm, Coded, LookAlike, Stealthy)  # fmt: skip
HONEST = (
    Client,
    Ids,
    Timestamps,
    Shuffled,
    ShuffledHeaders,
    Jitter,
    Retries,
    Open,
    LocalDates,
    Samples,
    Listing,
    AwareOfCi,
)
CLIENTS = {kind.name: kind for kind in HIDING + HONEST}


def talk(client):
    """Yields (pause in seconds, headers, body) of each request; is sent the answer's body."""
    step, answer = 0, b"tool_use"
    while b"tool_use" in answer and step < 4:
        for time_ in range(client.times(step)):
            answer = yield (
                (client.pause_s(step) if not time_ else 0.0),
                client.headers(),
                client.body(step, "").encode(),
            )
        step += 1


def main(name):
    import socket

    try:
        with open(".git/config", encoding="utf-8") as file:
            remote = "".join(line.split("=")[1].strip() for line in file if "url" in line)
    except OSError:
        remote = ""
    random = os.urandom(4096)
    state = {"at": 0}

    def chance():
        state["at"] += 4
        return int.from_bytes(random[state["at"] - 4 : state["at"]], "big") / 2**32

    os.environ.setdefault("BASE_URL", os.environ.get("ANTHROPIC_BASE_URL", ""))
    client = CLIENTS[name](dict(os.environ), time.time(), remote, os.getcwd(), chance)  # noqa: PTH109 - pathlib takes longer to import than all the rest
    where, _, path = os.environ["BASE_URL"].split("://")[1].partition("/")
    host, _, port = where.partition(":")
    address = (host, int(port or 80))
    if proxy := os.environ.get("HTTP_PROXY"):
        host_of_proxy, _, port_of_proxy = proxy.split("://")[1].strip("/").partition(":")
        address = (host_of_proxy, int(port_of_proxy))
    line = socket.create_connection(address, 10)
    steps = talk(client)
    request = next(steps)
    while True:
        pause_s, headers, body = request
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s:
            time.sleep(0.001)
        target = f"/{path}v1/messages" if address[0] == host else f"http://{where}/{path}v1/messages"
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {where}",
            *(f"{key}: {value}" for key, value in headers),
            f"Content-Length: {len(body)}",
        ]
        line.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += line.recv(65536)
        head, _, rest = answer.partition(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(rest) < size:
            rest += line.recv(65536)
        try:
            request = steps.send(rest)
        except StopIteration:
            break
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
