"""The rules by which requests are translated, one by one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mohist.gateway.call import Dialect
from mohist.gateway.request import RefusedError
from mohist.gateway.translate import Options, Translated, translate_request
from mohist.gateway.translate.form import Effort, Reasoning, Thinking
from mohist.gateway.translate.reasoning import BUDGETS, effort_of, nearest, without_foreign, wrap
from mohist.gateway.translate.sequence import arranged
from mohist.provider import quirk
from mohist.provider.message import Caps

PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def _chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **more}


def _user(content: Any = "hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def _assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _called(*ids: str) -> dict[str, Any]:
    calls = [{"id": one, "type": "function", "function": {"name": "look", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _result(call_id: str, content: str = "seen") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _messages(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": list(messages), **more}


def _use(call_id: str = "a", name: str = "look") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}


def _answer(call_id: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, **more}


def _to(target: Dialect, body: dict[str, Any], options: Options | None = None) -> Translated:
    source: Dialect = "openai-responses"
    if "messages" in body:
        source = "anthropic-messages" if "max_tokens" in body else "openai-chat"
    return translate_request(body, source, target, "m", options or Options())


def test_pictures_in_a_tool_result_follow_in_a_message_of_the_user() -> None:
    content = [{"type": "text", "text": "a file"}, {"type": "image", "source": PNG}]
    results = [_answer("a", content=content), _answer("b", content="two"), {"type": "text", "text": "go on"}]
    body = _to("openai-chat", _messages(_user(), _assistant([_use("a"), _use("b")]), _user(results))).body
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool", "user", "user"]
    first, second, pictures, words = body["messages"][2:]
    assert first["content"] == "a file\n(The next message shows what the call a of look returned.)"
    assert second["content"] == "two"
    assert pictures["content"][0]["text"] == "This is what the call a of look returned:"
    assert pictures["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="
    assert words["content"] == "go on"


def test_a_failed_tool_says_so_where_the_dialect_has_no_word_for_it() -> None:
    body = _messages(_user(), _assistant([_use()]), _user([_answer(content="boom", is_error=True)]))
    assert _to("openai-chat", body).body["messages"][-1]["content"] == "Error: boom"
    assert _to("openai-responses", body).body["input"][-1]["output"] == "Error:\nboom"


def test_results_come_before_all_else_in_anthropics_turn() -> None:
    body = _chat(_user(), _called("a"), _user("wait"), _result("a"))
    done = _to("anthropic-messages", body).body["messages"]
    assert [block["type"] for block in done[-1]["content"]] == ["tool_result", "text"]


def test_ids_that_a_server_uses_again_are_told_apart() -> None:
    body = _chat(_user(), _called("call_0"), _result("call_0"), _called("call_0"), _result("call_0", "again"))
    done = _to("anthropic-messages", body).body["messages"]
    uses = [block["id"] for message in done for block in message["content"] if block["type"] == "tool_use"]
    results = [
        block["tool_use_id"] for message in done for block in message["content"] if block["type"] == "tool_result"
    ]
    assert uses == results
    assert len(set(uses)) == 2
    assert uses[0] == "call_0"


def test_a_third_use_of_an_id_is_told_apart_too() -> None:
    rounds = [message for _ in range(3) for message in (_called("x"), _result("x"))]
    done = _to("anthropic-messages", _chat(_user(), *rounds)).body["messages"]
    assert len({block["id"] for message in done for block in message["content"] if block["type"] == "tool_use"}) == 3


def test_ids_of_any_length_and_alphabet_are_made_to_fit() -> None:
    odd = "functions.look:0" * 9
    done = _to("anthropic-messages", _chat(_user(), _called(odd), _result(odd))).body["messages"]
    made = done[1]["content"][0]["id"]
    assert made == done[2]["content"][0]["tool_use_id"]
    assert len(made) <= 40
    assert made.replace("_", "a").isalnum()


def test_two_calls_of_one_message_with_one_id_are_refused() -> None:
    with pytest.raises(RefusedError, match="Two tool calls of one message"):
        _to("anthropic-messages", _chat(_user(), _called("a", "a"), _result("a")))


def test_two_results_of_one_call_are_refused() -> None:
    with pytest.raises(RefusedError, match="two results"):
        _to("anthropic-messages", _chat(_user(), _called("a"), _result("a"), _result("a")))


def test_text_that_says_nothing_is_left_out() -> None:
    body = _chat(_user(" "), _user("hi"), _assistant(""), _user([{"type": "text", "text": ""}]))
    done = _to("anthropic-messages", body).body["messages"]
    assert done == [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
    ]


def test_late_system_messages_go_as_the_upstream_takes_them() -> None:
    body = _chat({"role": "system", "content": "be"}, _user(), {"role": "developer", "content": "now"}, _user("go"))
    tagged = "<system-reminder>\nnow\n</system-reminder>"
    anthropic = _to("anthropic-messages", body).body
    assert [block["text"] for block in anthropic["messages"][0]["content"]] == ["hi", tagged, "go"]
    own = _to("anthropic-messages", body, Options(late_system="system")).body
    assert [message["role"] for message in own["messages"]] == ["user", "system", "user"]
    assert [item["role"] for item in _to("openai-responses", body).body["input"]] == ["user", "developer", "user"]


def test_late_system_message_goes_to_a_strict_chat_template_as_the_users() -> None:
    body = _messages(_user(), {"role": "system", "content": "now"}, system="be")
    done = _to("openai-chat", body, Options(late_system="user")).body["messages"]
    assert [message["role"] for message in done] == ["system", "user", "user"]
    assert done[2]["content"] == "<system-reminder>\nnow\n</system-reminder>"


def _thinking(body: dict[str, Any], **more: Any) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    options = Options(thinking=more.pop("thinking", "budget"), max_output_tokens=more.pop("most", 20_000))
    done = _to("anthropic-messages", {**body, "reasoning_effort": "medium", **more}, options)
    return done.body.get("thinking"), done.omitted


def test_effort_becomes_a_budget_below_the_limit() -> None:
    assert _thinking(_chat(_user())) == ({"type": "enabled", "budget_tokens": BUDGETS["medium"]}, ())
    assert _thinking(_chat(_user()), most=4096)[0] == {"type": "enabled", "budget_tokens": 3072}


@pytest.mark.parametrize(
    "change",
    [
        {"most": 1500},
        {"temperature": 0.5},
        {"top_k": 5},
        {"top_p": 0.5},
        {"tools": [FUNCTION], "tool_choice": "required"},
        {"thinking": "none"},
    ],
)
def test_thinking_yields_to_what_it_excludes(change: dict[str, Any]) -> None:
    assert _thinking(_chat(_user()), **change) == (None, ("reasoning",))


def test_thinking_with_a_budget_yields_in_a_round_of_tools_that_began_without() -> None:
    body = _chat(_user(), _called("a"), _result("a"))
    assert _thinking(body) == (None, ("reasoning",))
    assert _thinking(body, thinking="adaptive")[0] == {"type": "adaptive"}
    over = _chat(_user(), _called("a"), _result("a"), _assistant("done"), _user("next"))
    assert _thinking(over)[0] is not None


def test_thinking_that_anthropic_made_returns_and_keeps_the_round_thinking() -> None:
    carried = wrap(Thinking("hm", "c2ln", "anthropic-messages"))
    body = {
        "model": "m",
        "reasoning": {"effort": "medium"},
        "input": [
            {"role": "user", "content": "hi"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": carried,
            },
            {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "x"},
        ],
    }
    done = _to("anthropic-messages", body, Options(thinking="budget", max_output_tokens=20_000)).body
    assert done["thinking"]["type"] == "enabled"
    assert done["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


@pytest.mark.parametrize(
    ("style", "asked", "said"),
    [
        ("effort", {"reasoning_effort": "xhigh"}, {"reasoning_effort": "high"}),
        ("enable_thinking", {"reasoning_effort": "low"}, {"enable_thinking": True, "thinking_budget": 4096}),
        ("enable_thinking", {"reasoning_effort": "high"}, {"enable_thinking": True}),
        ("enable_thinking", {"enable_thinking": False}, {"enable_thinking": False}),
        ("enable_thinking", {"thinking_budget": 777}, {"enable_thinking": True, "thinking_budget": 777}),
        ("thinking_type", {"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        ("thinking_type", {"enable_thinking": True}, {"thinking": {"type": "enabled"}}),
        ("none", {"reasoning_effort": "low"}, {}),
        ("effort", {}, {}),
    ],
)
def test_chat_upstreams_are_told_to_think_in_their_own_way(style: Any, asked: Any, said: Any) -> None:
    body = translate_request(_chat(_user(), **asked), "openai-chat", "openai-chat", "m", Options(thinking=style)).body
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == said


@pytest.mark.parametrize(("tokens", "effort"), [(500, "minimal"), (4096, "low"), (31_999, "high"), (10**6, "max")])
def test_a_budget_is_an_effort(tokens: int, effort: Effort) -> None:
    assert effort_of(Reasoning(budget_tokens=tokens)) == effort


def test_an_unknown_effort_becomes_the_nearest_known() -> None:
    assert nearest("max", ("low", "high")) == "high"
    assert nearest("medium", ("low", "high")) == "low"


def test_an_upstream_that_refuses_sampling_is_not_sent_any() -> None:
    done = _to("openai-responses", _chat(_user(), temperature=0, top_p=1), Options(sampling=False))
    assert done.omitted == ("temperature", "top_p")
    assert not {"temperature", "top_p"} & set(done.body)


def test_the_clients_own_cache_marks_are_kept_for_anthropic() -> None:
    marked = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    done = _to("anthropic-messages", _chat(_user([marked]), _assistant("a"), _user("b")))
    assert json.dumps(done.body).count("cache_control") == 1
    assert done.body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_more_marks_than_anthropic_takes_are_set_anew() -> None:
    marked = [{"type": "text", "text": str(at), "cache_control": {"type": "ephemeral"}} for at in range(6)]
    done = _to("anthropic-messages", _chat(_user(marked)))
    assert json.dumps(done.body).count("cache_control") == 1
    assert "cache_control" in done.body["messages"][0]["content"][-1]


def test_files_go_as_files_and_text_as_text() -> None:
    pdf = {
        "type": "document",
        "title": "p",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
    }
    text = {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    body = _messages(_user([pdf, text]))
    chat = _to("openai-chat", body).body["messages"][0]["content"]
    assert chat[0]["file"] == {"filename": "p", "file_data": "data:application/pdf;base64,aGk="}
    assert chat[1] == {"type": "text", "text": "t:\nwords"}
    responses = _to("openai-responses", body).body["input"][0]["content"]
    assert [part["type"] for part in responses] == ["input_file", "input_text"]
    back = _to("anthropic-messages", {"model": "m", "input": [{"role": "user", "content": responses}]}).body
    assert back["messages"][0]["content"][0]["source"] == pdf["source"]
    assert base64.b64decode("aGk=") == b"hi"


def test_a_loaded_tool_of_claude_codes_search_is_told_in_words() -> None:
    loaded = _answer(content=[{"type": "tool_reference", "tool_name": "Lint"}])
    body = _to("openai-chat", _messages(_user(), _assistant([_use()]), _user([loaded]))).body
    assert body["messages"][-1]["content"] == "The tool Lint can be called now."


def test_arguments_that_are_no_json_are_handed_back_as_they_are() -> None:
    broken = _called("a")
    broken["tool_calls"][0]["function"]["arguments"] = '{"x": '
    done = _to("anthropic-messages", _chat(_user(), broken, _result("a"))).body
    assert done["messages"][1]["content"][0]["input"] == {"unparsed": '{"x": '}


def test_anthropic_is_told_a_limit_even_when_the_client_names_none() -> None:
    assert _to("anthropic-messages", _chat(_user())).body["max_tokens"] == 8192
    assert _to("anthropic-messages", _chat(_user()), Options(max_output_tokens=64_000)).body["max_tokens"] == 64_000


def test_the_limit_goes_by_the_name_that_the_upstream_knows() -> None:
    body = _messages(_user())
    assert _to("openai-chat", body, Options(limit_field="max_completion_tokens")).body["max_completion_tokens"] == 100
    none = _to("openai-chat", body, Options(limit_field=""))
    assert none.omitted == ("max_tokens",)


def test_one_call_at_a_time_is_asked_for_in_each_dialect() -> None:
    body = _chat(_user(), tools=[FUNCTION], parallel_tool_calls=False)
    assert _to("anthropic-messages", body).body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert _to("openai-responses", body).body["parallel_tool_calls"] is False


def test_a_chosen_tool_is_chosen_in_each_dialect() -> None:
    body = _chat(_user(), tools=[FUNCTION], tool_choice={"type": "function", "function": {"name": "look"}})
    assert _to("anthropic-messages", body).body["tool_choice"] == {"type": "tool", "name": "look"}
    assert _to("openai-responses", body).body["tool_choice"] == {"type": "function", "name": "look"}


def test_a_schema_for_the_answer_goes_along() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    body = _chat(_user(), response_format=shape)
    assert _to("anthropic-messages", body).body["output_config"]["format"] == {"type": "json_schema", "schema": schema}
    form = _to("openai-responses", body).body["text"]["format"]
    assert form == {"type": "json_schema", "name": "n", "schema": schema, "strict": True}


def test_a_long_tool_name_is_shortened_and_found_again() -> None:
    long = "mcp__" + "x" * 90
    done = _to("openai-chat", _messages(_user(), tools=[{"name": long, "input_schema": {}}]))
    name = done.body["tools"][0]["function"]["name"]
    assert len(name) == 64
    assert done.names.inward(name) == ("", long, False)


def test_anthropics_thinking_is_not_shown_to_others() -> None:
    said = _assistant([{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": "x"}])
    for target in ("openai-responses", "openai-chat"):
        done = _to(target, _messages(_user(), said, _user()))  # type: ignore[arg-type]
        assert "c2ln" not in json.dumps(done.body)
        assert done.omitted == ("reasoning of earlier answers",)


def test_reasoning_of_a_translated_answer_is_taken_out_before_the_own_dialect() -> None:
    carried = wrap(Thinking("hm", maker="openai-chat"))
    foreign = {"type": "thinking", "thinking": "hm", "signature": carried}
    own = {"type": "thinking", "thinking": "ah", "signature": "c2ln"}
    body = _messages(_user(), _assistant([foreign, own, {"type": "text", "text": "x"}]), _assistant([foreign]), _user())
    done = without_foreign(body, "anthropic-messages")
    assert done is not None
    assert done["messages"] == [_user(), _assistant([own, {"type": "text", "text": "x"}]), _user()]
    assert without_foreign(done, "anthropic-messages") is None
    items = {"input": [{"type": "reasoning", "encrypted_content": carried}, {"role": "user", "content": "hi"}]}
    assert without_foreign(items, "openai-responses") == {"input": [{"role": "user", "content": "hi"}]}


def test_options_are_what_the_catalogue_knows() -> None:
    quirks = frozenset({quirk.MAX_COMPLETION_TOKENS, quirk.ENABLE_THINKING, quirk.NO_STREAM_OPTIONS})
    chat = Options.of("openai-chat", Caps(output_tokens=99, keep_thinking=True, quirks=quirks))
    assert chat == Options(
        max_output_tokens=99,
        limit_field="max_completion_tokens",
        reasoning_field="reasoning_content",
        reasoning_required=True,
        thinking="enable_thinking",
        stream_options=False,
    )
    adaptive = Caps(quirks=frozenset({quirk.THINKING_ADAPTIVE}))
    assert Options.of("anthropic-messages", adaptive).thinking == "adaptive"
    assert Options.of("openai-responses", Caps()).by_session


def test_an_upstream_that_demands_reasoning_gets_an_empty_one() -> None:
    options = Options(reasoning_field="reasoning_content", reasoning_required=True)
    body = _to("openai-chat", _messages(_user(), _assistant([_use()]), _user([_answer()])), options).body
    assert body["messages"][1]["reasoning_content"] == ""
    assert body["messages"][2]["content"] == "(no output)"


def test_nothing_said_is_refused() -> None:
    with pytest.raises(RefusedError, match="no message"):
        arranged(())


def test_tools_that_are_declared_within_the_conversation_are_tools() -> None:
    first = {"type": "function", "name": "a", "parameters": {"type": "object"}, "description": "old"}
    later = {"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "b"}]}
    body = {
        "model": "m",
        "tools": [first],
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "additional_tools", "role": "developer", "tools": [later, first | {"description": "new"}]},
        ],
    }
    translated = translate_request(body, "openai-responses", "openai-chat", "m", Options())
    told = {tool["function"]["name"]: tool["function"]["description"] for tool in translated.body["tools"]}
    assert told["a"] == "new"
    assert translated.names.inward("n__b") == ("n", "b", True)
    assert len(translated.body["messages"]) == 1
