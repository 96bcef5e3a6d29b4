"""Words that speak to a model instead of to a reader, and the ways in which they are hidden. Each with how much it says alone.

No filter of words holds against who means it: published attacks that adapt pass twelve of them in nine cases of ten. So what these
find is a signal that raises what is asked of the next action; what holds is what the action may touch.
"""

from __future__ import annotations

from dataclasses import dataclass

from mohist.guard.detector import Pattern

INSTRUCTION, HIDDEN, LINK = "injection.instruction", "injection.hidden", "exfiltration.link"


@dataclass(frozen=True, slots=True)
class Sign:
    """One pattern."""

    rule: str
    data_class: str
    expression: str
    confidence: float
    """Alone. Two different signs near each other say more."""
    anchor: str = ""
    """See `mohist.guard.Pattern`."""


_OLD = r"(?:previous|prior|above|preceding|earlier|foregoing|initial|original|system)"
# One letter too many does not hide the word: a published attack is misspelled.
_RULES = r"(?:i\w?nstructions?|prompts?|messages?|rules?|guidelines?|directives?|commands?|context|tasks?)"
_MODEL = r"(?:ai|assistant|ai assistant|ai agent|agent|llm|language model|chatbot|copilot|claude|chatgpt|gpt-?[0-9]?|gemini|qwen|codex)"

SIGNS: tuple[Sign, ...] = (
    Sign(
        "injection.forget",
        INSTRUCTION,
        rf"\b(?:ignore|disregard|forget|override|bypass|skip)\b[^\n.]{{0,30}}\b{_OLD}\b[^\n.]{{0,20}}\b{_RULES}\b",
        0.9,
    ),
    Sign("injection.forget", INSTRUCTION, rf"\b(?:ignore|disregard|forget)\b[^\n.]{{0,12}}\b(?:all|any|everything)\b[^\n.]{{0,24}}\b(?:{_RULES}|told|said)\b", 0.8),
    Sign("injection.forget.zh", INSTRUCTION, "(?:忽略|无视|忘记|不要理会)[^\n]{0,24}(?:之前|以上|前面|上述|先前|所有)[^\n]{0,24}(?:指令|提示|要求|规则|内容)", 0.9),
    Sign("injection.conceal", INSTRUCTION, r"\b(?:do not|don't|never|without)\b[^\n.]{0,16}\b(?:tell|telling|mention|mentioning|inform|informing|alert|alerting|notify|notifying|reveal|revealing|show|showing)\b[^\n.]{0,30}\b(?:the )?(?:user|human|owner|developer|operator)s?\b", 0.8),
    Sign("injection.conceal.zh", INSTRUCTION, "(?:不要|别|切勿|禁止)(?:告诉|告知|通知|提示|透露)[^\n]{0,16}(?:用户|使用者|开发者)", 0.9),
    Sign("injection.role", INSTRUCTION, r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id)\|>", 0.8),
    Sign("injection.role", INSTRUCTION, r"(?:^|\n)\s{0,4}(?:\[/?INST\]|<</?SYS>>|</?(?:system|system_prompt|system-reminder|admin|important|information)>)", 0.4),
    Sign("injection.role", INSTRUCTION, r"(?:^|\n)\s{0,4}#{1,4} ?(?:system (?:prompt|message)|new instructions?|instructions? for (?:the )?(?:ai|assistant|agent|model))\b", 0.6),
    Sign("injection.role", INSTRUCTION, r"#{2,4} ?[\[(<{](?:system|admin|developer)[ _-]?(?:prompt|message|instructions?)[\])>}]", 0.7),
    Sign("injection.address", INSTRUCTION, rf"\b(?:note|attention|important|message|instructions?|memo|hello|hi|dear|attn)\b[^\n.]{{0,24}}\b(?:to|for)\b[^\n.]{{0,12}}\b{_MODEL}\b", 0.6, rf"\b(?:to|for)\b[^\n.]{{0,12}}\b{_MODEL}\b"),
    Sign("injection.address", INSTRUCTION, rf"\b(?:if you are|as) an? {_MODEL}\b[^\n]{{0,80}}\b(?:must|should|need to|have to|please|are required)\b", 0.7),
    Sign("injection.address", INSTRUCTION, rf"\b{_MODEL}s?\b[^\n.]{{0,40}}\b(?:must|should|needs? to|(?:is|are) (?:required|instructed|asked) to)\b[^\n.]{{0,60}}\b(?:run|execute|send|post|upload|fetch|download|delete|write|add|insert|include|email|forward|transfer|curl)\b", 0.6),
    Sign("injection.before", INSTRUCTION, r"\bbefore (?:you )?(?:can )?(?:solv|continu|proceed|answer|complet|respond|finish)\w{0,4}\b[^\n]{0,60}\b(?:you must|please|first|do the following|need to)\b", 0.6),
    Sign("injection.new-task", INSTRUCTION, r"\b(?:your|the) (?:new|real|actual|true|next) (?:task|instructions?|goal|objective|orders?|prompt) (?:is|are|now)\b", 0.8),
    Sign("injection.new-task", INSTRUCTION, r"\byou are now (?:a|an|in|the)\b[^\n.]{0,40}\b(?:mode|assistant|agent|jailbroken|unrestricted|dan|developer|admin)\b", 0.7),
    Sign("injection.prompt-leak", INSTRUCTION, r"\b(?:print|repeat|reveal|output|show|leak|send)\b[^\n.]{0,20}\byour (?:system |initial |hidden )?(?:prompt|instructions?)\b", 0.8),
    Sign("injection.hidden-markup", HIDDEN, rf"<!--[^>]{{0,300}}\b(?:{_MODEL}|ignore|instructions?|you must)\b[^>]{{0,200}}", 0.5),
    Sign("injection.hidden-style", HIDDEN, r"style\s*=\s*[\"'][^\"'>]{0,120}(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?:[^.0-9]|$))[^\"'>]{0,120}[\"'][^<]{0,20}>[^<]{24,}", 0.4, r"style\s*="),
    Sign("exfiltration.image", LINK, r"!\[[^\]\n]{0,80}\]\((https?://[^)\s]{1,200}[?&][^)\s=]{1,40}=[^)\s]{0,400})\)", 0.5),
    Sign("exfiltration.image", LINK, r"<img\b[^>]{0,120}\bsrc\s*=\s*[\"']?(https?://[^\"'>\s]{1,200}[?&][^\"'>\s=]{1,40}=[^\"'>\s]{0,400})", 0.5),
)  # fmt: skip

WIDTH_BYTES = 1024
PATTERNS: tuple[Pattern, ...] = tuple(
    Pattern(f"{number}", sign.expression, ignore_case=True, width_bytes=WIDTH_BYTES, anchor=sign.anchor)
    for number, sign in enumerate(SIGNS)
)
