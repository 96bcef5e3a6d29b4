"""The words that the dialects themselves are made of: field names and fixed values, which tell nothing of anybody."""

from __future__ import annotations

_FIELDS = """
model messages input system instructions tools functions tool_choice function_call tool_calls metadata user stream
stream_options include_usage temperature top_p top_k max_tokens max_completion_tokens max_output_tokens stop stop_sequences
n seed logprobs top_logprobs logit_bias presence_penalty frequency_penalty response_format parallel_tool_calls
reasoning_effort reasoning effort summary verbosity text format store include truncation background prompt_cache_key
prompt_cache_retention safety_identifier service_tier previous_response_id thinking budget_tokens signature role content
name type id index function arguments description parameters strict schema json_schema properties required items enum const
anyOf oneOf allOf not additionalProperties default title minimum maximum minLength maxLength pattern minItems maxItems
uniqueItems exclusiveMinimum exclusiveMaximum propertyNames patternProperties examples $ref $defs $schema definitions
input_schema cache_control ttl scope tool_use_id tool_call_id call_id is_error source media_type data url image_url detail
file_id file_data filename input_audio audio refusal annotations citations reasoning_content thought_signature
encrypted_content status output action namespace context_management edits container betas mcp_servers output_config
modalities prediction service prompt variables version phase caller user_id status
"""
_VALUES = """
text user assistant system developer tool tool_use tool_result function function_call function_call_output message
input_text output_text input_image image image_url image_file thinking redacted_thinking reasoning summary_text
reasoning_text custom custom_tool_call custom_tool_call_output local_shell_call local_shell_call_output object string
number integer boolean array null ephemeral 5m 1h auto none any required low medium high xhigh minimal max detailed concise
enabled disabled adaptive completed in_progress incomplete json_object json_schema base64 image/png image/jpeg image/gif
image/webp application/pdf text/plain default flex priority standard true false
https://json-schema.org/draft/2020-12/schema http://json-schema.org/draft-07/schema# reasoning.encrypted_content
additionalProperties tool_search server_tool_use document url file search_result grammar lark regex
"""

LONGEST_WORD = 48
"""No word is longer; a long text need not be hashed to see that it is none."""

WORDS = frozenset((*_FIELDS.split(), *_VALUES.split(), ""))
"""Neither as a key nor as a value is one of these looked at."""
