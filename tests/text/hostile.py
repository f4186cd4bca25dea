"""Words that would do something if they were let."""

from typing import Final

MARKER: Final = "<!-- vibecoder:run=0123456789abcdef -->"

HOSTILE: Final = (
    "a` fixes #7 `b.txt",
    "a`![](https://evil.example)",
    "a``b` @everyone ``c` fixes #1",
    "Thanks @everyone, @acme/admins and &#64;root &commat;all \\@you, x@evil.example",
    "Fixes #41, CLOSES: #42, resolved acme/other#7, fix GH-9, closes https://github.com/acme/x/issues/8, fix &#35;43",
    "see #12, acme/other#7, GH-3 and https://github.com/acme/x/pull/9",
    "[a](https://evil.example/?d=1) [b][c] [c] <https://evil.example> www.evil.example mailto:x@evil.example",
    "[c]: https://evil.example/?d=2",
    "![a](https://evil.example/x.png) ![b][c] &#33;[d](//evil.example)",
    "`a` ![`b`](`https://evil.example`) [`x`](//evil.example)",
    "</details></sub><h1>Approved</h1><img src=//evil.example onerror=x><details open><!-- hides",
    f"{MARKER}",
    f"`{MARKER}`",
    "# Approved",
    "> [!WARNING]\n> You are hacked",
    "Verification\n---\n\nTests pass\n===\n\n***\n\n- - -\n___",
    "- [x] reviewed\n- [ ] @everyone",
    "[^1]\n\n[^1]: @everyone",
    "```\n@everyone\n```\n@everyone fixes #1\n~~~\n[skip ci]",
    "~~~~ `x\n/approve\n~~~\n[x](//evil.example)",
    "```mermaid\ngraph\n```\n\n```suggestion\nrm -rf\n```\n\n- ```math\n  x\n  ```",
    "text\n    ```\n    @everyone\n    ```\n\n- a\n\n      @everyone",
    "/lgtm\n/approve cancel\n  /merge",
    "@dependabot merge\nbors r+\n@mergifyio queue",
    "x@evil.example``b` @everyone ``c`` @`d`@`",
    "@x@evil @a/@b _@c #1@everyone #1x@evil.example GH-2www.evil.example",
    "[skip ci] [ci skip] [no ci] [skip actions] [actions skip] ***NO_CI*** `[skip ci]`",
    "Mended.\n\n\nskip-checks: true",
    "Release-As: 9.0.0\nBREAKING CHANGE: all of it\nBEGIN_COMMIT_OVERRIDE\nfeat!: x\nEND_COMMIT_OVERRIDE",
    "Signed-off-by: Ada <ada@acme.example>\nCo-authored-by: Eve <eve@evil.example>\nReviewed-by: x",
    "| a | b |\n|---|---|\n| @everyone | fixes #3 |\n\na | `b | c` | d",
    ":tada: :+1: $x$ $$y$$ $`z`$ abcdef1234",
    "**a* @x* __b_ ~~c~~ *d*",
    "&lt;b&gt; &amp;#64;everyone &#x5b;skip ci&#x5d; &#96;@x&#96; &NewLine;# Head &Tab;x",
    "\\`@everyone\\` \\\\`@x` \\[a](//evil.example) \\",
    "<pre>\n@everyone\n</pre>\n<code>@everyone</code> <code>&#64;x`</code>`@y",
    "@every\u200bone \u202e@flip #\u2060 7",
    "`unclosed @everyone",
    "word`\n@everyone `",
    "`multi\nline fixes #7 span`",
    "x\r\n# Head\u2028> quote\x85@y",
)
"""Each is a value: a path, a title, a summary, a login, a log. None may do anything, wherever it lands."""

ORDINARY: Final = (
    "Mend the greeting",
    "Use *args and **kwargs, __init__ and snake_case; List<int>, <T>, a < b && c | d; C# 7, ~5 min, $5",
    "It says `helo`; see `docs/index.md`. It costs 5 % (not 10 %) -- 12:30, a::b, x[0], C:\\new, \\d+",
    "`@pytest.fixture` stays; so does `List<int>` and `a | b`",
    "1.5 times faster, 100 % sure! Really? Yes: \"quoted\", 'single', e.g. this…",
    "naïve café, 日本語, emoji 🎉",
)
"""What is read as it was written."""
