"""The words that this detector knows: what names a secret, what names something else, what stands in for one."""

from __future__ import annotations

KINDS = {
    "password": ("password", "passwd", "passphrase", "passcode", "pass", "pwd", "psw", "pw", "密码", "密碼", "口令"),
    "secret": ("secret", "秘密", "私钥"),
    "token": ("token", "bearer", "ticket", "令牌"),
    "key": ("key", "密钥", "秘钥", "密鑰"),
    "auth": ("auth", "basic", "授权码"),
    "credential": ("cred", "凭证", "凭据"),
    "api": ("api",),
    "session": ("session", "cookie", "sid", "otp", "seed", "signature"),
}
"""What a key's word makes of its value; the first kind that has a word in the key names it."""

DATA_CLASSES = {"password": "secret.password"}
"""The others are "secret.generic"."""

NOT_KEYS = ("author", "keyboard", "keyword", "keypress", "keycode", "keydown", "keyup", "keyframe", "compass", "bypass", "passive", "passenger", "passed", "passes", "passing", "passthrough", "monkey", "hotkey", "turkey", "capital", "credit", "rapid", "sapi", "tokenize", "secretary")  # fmt: skip
"""Words that hold one of ours by chance; where nothing else of ours is left in a key, it is none."""

OTHER_THINGS = ("url", "uri", "path", "file", "dir", "name", "type", "id", "field", "column", "label", "title", "text", "message", "msg", "error", "hint", "help", "desc", "placeholder", "length", "len", "size", "min", "max", "regex", "pattern", "policy", "reset", "forgot", "confirm", "expir", "ttl", "timeout", "time", "age", "date", "header", "param", "prefix", "suffix", "format", "method", "scheme", "class", "provider", "endpoint", "version", "count", "index", "ref", "env", "var", "alg", "mode", "store", "hash", "digest", "fingerprint", "public", "primary", "foreign", "partition", "sort", "cache", "map", "code", "status", "enabled", "required", "valid", "user", "host", "prompt", "input", "form", "button", "link", "group", "role", "scope", "usage", "test", "example", "old", "new", "default", "admin", "root", "db", "private", "access", "client", "encrypt", "sign", "master", "shared", "app", "refresh")  # fmt: skip
"""Parts of a key that change what its value is; each is a feature, and what it says is learned."""

PLACEHOLDERS = ("your", "example", "change", "placeholder", "dummy", "fake", "sample", "insert", "replace", "todo", "fixme", "xxx", "***", "...", "my", "some", "test", "foo", "bar", "redacted", "masked", "hidden", "secret", "password", "pass", "token", "key", "here", "default", "admin", "user", "value", "string", "none", "null", "undefined", "true", "false", "empty", "invalid", "wrong", "correct", "new", "old", "enter", "must", "abc", "123", "qwerty", "deadbeef")  # fmt: skip
"""Parts of values that are written for show."""

REFERENCES = ("${", "$(", "{{", "}}", "<%", "%>", "%(", "%s", "#{", "{%", "getenv", "environ", "process.env", "os.", "self.", "this.", "config", "settings", "params", "args", "request", "secrets.", "var.", "ref(", "->", "::", "()", "vault", "ssm:", "arn:", "env[", "input", "options", "props", "data.", "local.", "module.", "@")  # fmt: skip
"""Parts of values that say where a value is to be found."""

FIXTURE_WORDS = ("etag", "request-id", "requestid", "request_id", "digest", "sha", "integrity", "commit", "checksum", "hash", "md5", "uuid", "guid", "trace", "span", "revision", "cursor", "nonce", "boundary", "content-", "x-", "last-modified", "cassette", "interaction", "recorded", "snapshot", "resolved", "fingerprint")  # fmt: skip
"""Words beside which a random value is an identifier."""

NEAR_WORDS = ("user", "login", "email", "mail", "host", "port", "database", "db", "url", "client", "account", "server", "connect", "http", "header", "response", "request", "status", "expect", "assert", "should", "test", "mock", "fixture", "example", "describe", "import", "return", "func", "def ", "class ", "function", "const ", "var ", "let ", "env", "docker", "mysql", "postgres", "redis", "aws", "oauth", "sign", "crypto", "hash", "encrypt", "cipher", "public", "private", "label", "title", "error", "message", "translat", "locale", "type:", "required", "description", "schema", "format", "input", "field", "column", "model", "@param", "```", "<!--")  # fmt: skip
"""Words looked for in the lines about a candidate; each is a feature."""
