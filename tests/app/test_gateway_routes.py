"""Routes from a file and from the keys that are set."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohist.app.errors import ConfigError
from mohist.app.route import from_file, from_keys
from mohist.gateway.limit import ConnectionLimits, DoorSettings
from mohist.provider.catalogue import catalogue
from mohist.provider.message import Usage

END = '[[routes.upstreams]]\nname = "a"\ndialect = "openai-chat"\nurl = "http://127.0.0.1:9/v1"\n'


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_provider_whose_key_is_set_serves_its_models_by_both_names() -> None:
    served = from_keys({"ANTHROPIC_API_KEY": "k"}, catalogue())
    entry = catalogue().default_model("anthropic")
    assert entry is not None
    for name in (entry.name, entry.short):
        route = served.table.find(name)
        assert route is not None
        assert "anthropic-messages" in {end.dialect for end in route.upstreams}
        assert all(end.model == entry.wire and end.key() == "k" for end in route.upstreams)
        assert served.dearest(name, Usage(1000, 0, 0, 1000), 0)


def test_limits_are_taken_from_the_file_and_what_it_leaves_out_stays(tmp_path: Path) -> None:
    end = '[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "a"\ndialect = "openai-chat"\nurl = "http://x/v1"\n'
    said = (
        '[limits]\nmax_calls = 7\non_account_change = "refuse"\nearly_ping_after_s = 0\nmax_connections_per_peer = 9\n'
    )
    limits = from_file(_file(tmp_path, end + said), {}, catalogue()).limits
    assert limits.door() == DoorSettings(max_calls=7, on_account_change="refuse", early_ping_after_s=0)
    assert limits.connections() == ConnectionLimits(max_connections_per_peer=9)
    assert from_file(_file(tmp_path, end), {}, catalogue()).limits.door() == DoorSettings()
    for wrong in ("max_calls = 0", "max_cals = 7", 'on_account_change = "shrug"', "body_timeout_s = -1"):
        with pytest.raises(ConfigError, match="limits"):
            from_file(_file(tmp_path, f"{end}[limits]\n{wrong}\n"), {}, catalogue())


def test_without_a_key_nothing_is_served() -> None:
    assert from_keys({}, catalogue()).table.routes == ()


def test_what_an_upstream_leaves_out_comes_from_its_provider(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        '[[routes]]\nmodel = "best"\n[[routes.upstreams]]\nname = "a"\nprovider = "anthropic"\nmodel = "claude-sonnet-5"\n',
    )
    served = from_file(path, {"ANTHROPIC_API_KEY": "k"}, catalogue())
    route = served.table.find("best")
    assert route is not None
    (end,) = route.upstreams
    assert (end.dialect, end.key()) == ("anthropic-messages", "k")
    assert end.base_url.startswith("https://api.anthropic.com")
    assert served.price(end, end.model).listed is not None


def test_a_price_that_is_not_known_is_not_taken_as_nothing(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        '[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "a"\ndialect = "openai-chat"\nurl = "http://127.0.0.1:9/v1"\n',
    )
    assert from_file(path, {}, catalogue()).dearest("m", Usage(1, 0, 0, 1), 0) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes = 3", "routes"),
        ('[[routes]]\nmodel = "m"\nupstreams = []', "upstreams"),
        ('[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "a"\nprovidr = "x"', "providr"),
        ('[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "a"\nprovider = "nobody"', "nobody"),
        ('[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "a"', "needs `provider`"),
        ("not toml", "can't be read"),
        ('[[routes]]\nmodel = "m-*"\nnames = ["n-1"]\n' + END, "'n-1' of 'names' is no name that 'm-\\*' matches"),
        ('[[routes]]\nmodel = "m-*"\nnames = ["m-?"]\n' + END, "'m-\\?' of 'names'"),
        ('[[routes]]\nmodel = "m"\nnames = ["m"]\n' + END, "no glob"),
    ],
)
def test_a_file_that_says_what_it_may_not_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_file(_file(tmp_path, text), {}, catalogue())


def test_the_names_of_a_glob_are_listed_where_its_upstreams_serve_them(tmp_path: Path) -> None:
    claude = '[[routes]]\nmodel = "m-claude"\n' + END.replace("openai-chat", "anthropic-messages")
    text = claude + '[[routes]]\nmodel = "m-*"\nnames = ["m-1", "m-2", "m-claude"]\n' + END
    table = from_file(_file(tmp_path, text), {}, catalogue()).table
    assert table.names(anthropic=False) == ["m-1", "m-2"]
    assert table.names(anthropic=True) == ["m-claude"]  # an exact route serves it


def test_one_key_at_one_host_is_one_account_in_every_dialect(tmp_path):
    def end(name: str, url: str, dialect: str, key: str) -> str:
        fields = {"name": name, "url": url, "dialect": dialect, "key_env": key}
        return "[[routes.upstreams]]\n" + "".join(f'{field} = "{value}"\n' for field, value in fields.items())

    path = tmp_path / "routes.toml"
    host = "https://a.example"
    path.write_text(
        '[[routes]]\nmodel = "m"\n'
        + end("one", f"{host}/v1", "openai-chat", "KEY_A")
        + end("two", f"{host}/anthropic/v1", "anthropic-messages", "KEY_A")
        + end("three", f"{host}/v1", "openai-chat", "KEY_B")
        + end("four", "https://b.example/v1", "openai-chat", "KEY_A"),
        encoding="utf-8",
    )
    [route] = from_file(path, {}, catalogue()).table.routes
    one, two, three, four = (upstream.payer for upstream in route.upstreams)
    assert one == two
    assert len({one, three, four}) == 3


def test_a_key_in_a_file_is_read_anew_when_it_changes(tmp_path):
    path, key = tmp_path / "routes.toml", tmp_path / "key"
    path.write_text(
        '[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "one"\ndialect = "openai-chat"\n'
        f'url = "https://a.example/v1"\nkey_file = "{key}"\n',
        encoding="utf-8",
    )
    [route] = from_file(path, {}, catalogue()).table.routes
    [upstream] = route.upstreams
    with pytest.raises(ConfigError, match="can't be read"):
        upstream.key()
    key.write_text("first\n", encoding="utf-8")
    assert upstream.key() == "first"
    key.write_text("the second\n", encoding="utf-8")
    assert upstream.key() == "the second"


def test_what_a_route_says_of_an_upstream_wins_over_the_catalogue(tmp_path):
    path = tmp_path / "routes.toml"
    path.write_text(
        '[[routes]]\nmodel = "q"\n[[routes.upstreams]]\nname = "qwen"\nprovider = "qwen"\n'
        'model = "qwen3.7-max"\n[routes.upstreams.can]\nmax_output_tokens = 7\nleave_out = ["web_search"]\n',
        encoding="utf-8",
    )
    [route] = from_file(path, {}, catalogue()).table.routes
    [upstream] = route.upstreams
    assert upstream.options.thinking == "enable_thinking"
    assert upstream.options.max_output_tokens == 7
    assert upstream.options.leave_out == {"web_search"}


SECOND = END.replace("9/v1", "8/v1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[[routes]]\nmodle = "m"\n{END}', "'routes.0.modle'.*Nearest: model"),
        (f'[[routes]]\nmodel = "m"\n{END}key_evn = "K"\n', "'routes.0.upstreams.0.key_evn'.*Nearest: key_env"),
        (f'[[routes]]\nmodel = "m"\n{END}{SECOND}', "route 'm' has two upstreams 'a'"),
        (f'[[routes]]\nmodel = "m"\n{END}[[routes]]\nmodel = "m"\n{SECOND}', "two routes are for 'm'"),
        (f'[[routes]]\nmodel = "m"\n{END}'.replace("http:", "htp:"), "'url' of upstream 'a' is no address"),
        (f'[[routes]]\nmodel = "m"\n{END}'.replace(":9/", ":99999/"), "'url' of upstream 'a' is no address"),
        (f'[[routes]]\nmodel = "m"\n{END}'.replace("127.0.0.1", "h h"), "'url' of upstream 'a' is no address"),
    ],
)
def test_mistakes_are_found_at_the_start_and_the_nearest_key_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_file(_file(tmp_path, text), {}, catalogue())
