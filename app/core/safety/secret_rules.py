"""What secrets look like: gitleaks' rules as data, and our own rules for what they miss.

gitleaks' rules (`gitleaks/README.md` says which version) are written for Go's RE2. They are read with these changes:
an inline flag holds for the rest of its group, as in RE2; a leading `\\b` lets `_` stand before a secret; what must
follow one does not have to be a quote or a space; unbounded prefixes are dropped, so that every rule costs linear time.
"""

import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final

Judge = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class SecretRule:
    """One kind of secret.

    `name` is how people are told ("a GitHub token"). One of `keywords` (lower case) stands in every text that the
    pattern matches; `before` must match the text that ends where the match begins. The secret is `group` of the match;
    0 is the first group that took part, or all of it. `judge` tells a secret from what only looks like one, and
    `judge_at_gate` from a sample that may be published, though it is masked in what the bot says. What `is_named` is
    known by the name it stands under alone; such rules do not look into lock files.
    """

    name: str
    keywords: tuple[str, ...]
    pattern: str
    before: str = ""
    group: int = 0
    judge: Judge | None = None
    judge_at_gate: Judge | None = None
    is_named: bool = False

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where its secrets stand."""
        for match in _compiled(self.pattern).finditer(text):
            taken = (number for number, value in enumerate(match.groups(), start=1) if value is not None)
            start, end = match.span(self.group or next(taken, 0))
            if (self.judge is None or self.judge(text[start:end])) and self._follows(text, match.start()):
                yield start, end

    def _follows(self, text: str, start: int) -> bool:
        return not self.before or _compiled(self.before).search(text, max(0, start - _BEFORE_CHARS), start) is not None


_BEFORE_CHARS: Final = 100


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


# ------------------------------------------------------------------------------------------------------------- judging

_MIN_DISTINCT: Final = 10
_STOPWORD_CHARS: Final = 5
_SAMPLE: Final = re.compile(
    r"(?i)(.)\1{7}|example|placeholder|change[-_]?me|your[-_]|dummy|redacted|x{6}|\.{3}|abcdefgh|0123456789"
)
_IS_ELSE: Final = re.compile(
    r"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z|\$|\{|%|<|/|\.|https?:|data:|(?:pbkdf2|bcrypt|scrypt|argon|sha|md)\d?"
)
"""UUIDs, variables, templates, paths, addresses and hashes of passwords."""
_SAMPLE_PASSWORD: Final = re.compile(
    r"(?i)[\[<{$%*].*|pass(?:w(?:or)?d)?|pw(?:or)?d|secret|token|x+|test|user|root|admin|guest|postgres|mysql|redis|example|"
    r"change[-_]?me|hunter2|key|api[-_]?key|foo|bar|abc|123|p%40ss"
)

_PLACEHOLDER: Final = re.compile(
    r"(?i)change|replace|insert|your|secret|passw|passphrase|token|api[-_]?key|test|develop|local|fake|mock|random|generate|"
    r"default|invalid|x{3}|todo|fixme|value|string|sample|demo|(?:^|[-_])(?:dev|foo|bar|here|key|my|none|not|null|put|some)(?:[-_]|$)"
)
"""In what stands where words of one's own belong."""


def is_sample(value: str) -> bool:
    """Whether it was plainly written to show where a secret goes."""
    return _SAMPLE.search(value) is not None


def is_random(value: str) -> bool:
    """Whether digits, capitals and small letters follow one another as chance has it, and not as words do."""
    kinds = ["0" if each.isdigit() else "A" if each.isupper() else "a" for each in value if each.isalnum()]
    turns = sum(before != after for before, after in pairwise(kinds)) / max(len(kinds), 1)
    digits = kinds.count("0") / max(len(kinds), 1)
    is_mixed = (turns >= 0.3 and digits >= 0.1) or (turns >= 0.45 and digits >= 0.03)
    return is_mixed and len(set(value)) >= _MIN_DISTINCT and not is_sample(value)


def entropy(value: str) -> float:
    """Shannon's, in bits for a character."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())


def _is_named_secret(value: str) -> bool:
    if _IS_ELSE.match(value) or not is_random(value):
        return False
    folded = value.lower()
    return not any(word in folded for word in _stopwords())


def _is_own_words(value: str) -> bool:
    """Words that somebody chose, and not those that hold the place of a secret or name a variable."""
    is_constant = value.isupper() and "_" in value
    is_placeholder = _PLACEHOLDER.search(value) is not None or is_sample(value)
    return len(set(value)) >= _MIN_DISTINCT and not is_constant and not is_placeholder


def _is_key_of_dashes(value: str) -> bool:
    """`sk-` begins names in style sheets, too: a key has a long part without dashes, or looks random."""
    parts = re.split(r"[-_]", value)[1:]
    return max(map(len, parts), default=0) >= 16 or is_random(value)


def _is_password(value: str) -> bool:
    user, _, password = value.partition(":")
    return password != user and _SAMPLE_PASSWORD.fullmatch(password) is None and not is_sample(password)


def _is_key_block(value: str) -> bool:
    """A header alone is code that looks for keys."""
    return re.search(r"[A-Za-z0-9+/=]{40}", value.partition("-----")[2]) is not None and not is_sample(value[:200])


# ----------------------------------------------------------------------------------------------------------- our rules

_BASE64URL: Final = "[A-Za-z0-9_-]"
_JWT: Final = rf"eyJ{_BASE64URL}{{10,600}}+\.eyJ{_BASE64URL}{{10,4000}}+\.{_BASE64URL}{{10,2000}}+"
_SEPARATED: Final = r"(?:(?:\s|\\[nr]|[\"'+,]){0,20}[A-Za-z0-9+/=]{40,20000}+)*"
_NAME: Final = (
    r"(?i:secret|token|passwd|password|credential|(?:api|access|private|signing|encryption|auth|account|storage)[_-]?key)"
    r"(?!\w{0,30}(?i:hash|sha\d|digest|checksum|fingerprint|_id\b|ur[il]\b|file|path|version|_name\b))\w{0,30}"
)
_ENDS: Final = r"(?![A-Za-z0-9])"

OWN: Final[tuple[SecretRule, ...]] = (
    # https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
    # and installation tokens that are `ghs_<app id>_<JSON Web Token>`
    SecretRule(
        "a GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        rf"gh[pousr]_(?:[A-Za-z0-9]{{36,255}}|[A-Za-z0-9]{{1,20}}_{_JWT})|github_pat_[A-Za-z0-9_]{{22,255}}",
    ),
    SecretRule("an Anthropic key", ("sk-ant-",), r"sk-ant-[A-Za-z0-9_-]{20,200}"),
    SecretRule("an OpenAI key", ("sk-",), r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,200}", judge=_is_key_of_dashes),
    SecretRule("an E2B key", ("e2b_",), rf"e2b_[0-9a-f]{{40}}{_ENDS}"),
    SecretRule(
        "an AWS access key",
        ("akia", "asia", "abia", "acca"),
        rf"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{{16}}{_ENDS}",
    ),
    SecretRule(
        "an AWS secret key",
        ("aws", "secret_access_key", "secretaccesskey", "secret access key"),
        r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}+(?![A-Za-z0-9/+=])",
        before=r"(?i:aws|secret[ _-]?access[ _-]?key)[^\n]{0,60}\Z",
        judge=lambda value: is_random(value) and re.fullmatch("[0-9a-f]+", value) is None,
    ),
    SecretRule("a Google key", ("aiza", "gocspx-"), r"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}"),
    SecretRule("a Slack token", ("xox", "xapp-"), r"(?:xox[abceoprs](?:\.xox[bp])?|xapp)-[A-Za-z0-9-]{10,250}"),
    SecretRule(
        "a webhook's address",
        ("hooks.slack.com", "/api/webhooks/"),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,200})"
        r"|discord(?:app)?\.com/api/webhooks/\d{5,25}/[A-Za-z0-9_-]{40,100}",
    ),
    SecretRule(
        "a Stripe key", ("k_live_", "k_prod_", "whsec_"), r"(?:[rs]k_(?:live|prod)|whsec)_[A-Za-z0-9+/]{20,200}"
    ),
    SecretRule("an npm token", ("npm_",), rf"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{{36}}{_ENDS}"),
    SecretRule("a PyPI token", ("pypi-",), r"pypi-[A-Za-z0-9_-]{50,1000}"),
    SecretRule("a GitLab token", ("gl",), r"gl(?:pat|ptt|dt|rt|cbt|oas|ft|imt|agent|soat|ffct)-[A-Za-z0-9_.-]{20,300}"),
    SecretRule(
        "a Hugging Face token", ("hf_", "api_org_"), rf"(?:(?<![A-Za-z0-9])hf|api_org)_[A-Za-z0-9]{{34,80}}{_ENDS}"
    ),
    SecretRule("a SendGrid key", ("sg.",), rf"SG\.{_BASE64URL}{{16,64}}+\.{_BASE64URL}{{16,64}}"),
    SecretRule(
        "an Azure key",
        ("accountkey=", "sharedaccesskey="),
        r"(?i:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{43,86}={1,2})",
    ),
    SecretRule("a Docker token", ("dckr_",), r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,64}"),
    SecretRule("a Groq key", ("gsk_",), rf"(?<![A-Za-z0-9])gsk_[A-Za-z0-9]{{52}}{_ENDS}"),
    SecretRule("a JSON Web Token", (".eyj",), rf"(?<![A-Za-z0-9-]){_JWT}"),
    SecretRule(
        "a private key",
        ("private key",),
        r"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        rf"(?:(?:[^-]|-(?!----)){{0,20000}}-----END[ A-Z0-9_-]{{0,40}}PRIVATE KEY(?: BLOCK)?-----|{_SEPARATED})",
        judge_at_gate=_is_key_block,
    ),
    SecretRule(
        "a password in an address",
        ("://",),
        r"(?<=://)[^\s/:@\"'`<>]{1,100}:[^\s/@\"'`<>]{3,200}(?=@)",
        judge_at_gate=_is_password,
    ),
    SecretRule(
        "a password in a header",
        ("authorization",),
        r"(?i:authorization)[\"']?\s{0,4}[:=,]\s{0,4}[\"']?(?i:bearer|basic|token)\s{1,4}([A-Za-z0-9._~+/=-]{16,400})",
        judge=is_random,
    ),
    SecretRule(
        "a secret of random characters",
        ("secret", "token", "passw", "credential", "key"),
        r"[:=]>?(?=\s{0,8}(?:[\"'`]([^\s\"'`]{20,200}+)[\"'`]"
        r"|([A-Za-z0-9+/_.~!@%^*-]{20,200}+={0,2}+)(?![\w(\[=])))",
        before=_NAME + r"[\"']?\s{0,8}:?\Z",
        judge=_is_named_secret,
        is_named=True,
    ),
    SecretRule(
        "a secret in words",
        ("secret", "token", "passw", "passphrase", "_key", "api"),
        r"(?m:^)[ \t]{0,20}(?:(?i:export|env|arg|set)[ \t]{1,4}|-[ \t]{1,4})?[A-Z0-9_]{0,60}"
        r"(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|(?:SECRET|ACCESS|PRIVATE|SIGNING|ENCRYPTION|AUTH)_KEY|KEY_BASE)"
        r"=([A-Za-z0-9!@%^*+~_-]{16,200}+)(?=[ \t\r]{0,20}(?:[#\n]|\Z))",
        judge=_is_own_words,
        is_named=True,
    ),
)
"""Rules for what the process that runs this holds, and for what gitleaks does not know or knows too narrowly."""

# ------------------------------------------------------------------------------------------------------ gitleaks' rules

LEFT_OUT: Final = frozenset(
    {
        # Ours are wider.
        *("generic-api-key", "private-key", "jwt", "curl-auth-header", "curl-auth-user", "sourcegraph-access-token"),
        # Not secret: they name an account, or are meant to be read by everybody.
        *("asana-client-id", "bitbucket-client-id", "discord-client-id", "linkedin-client-id", "looker-client-id"),
        *("adobe-client-id", "messagebird-client-id", "plaid-client-id", "sendbird-access-id", "sumologic-access-id"),
        *("new-relic-user-api-id", "flutterwave-public-key", "lob-pub-api-key", "mailgun-pub-key"),
    }
)
_PREFIX: Final = r"[\w.-]{0,50}?"
_TERMINATOR: Final = r"""(?:[\x60'"\s;]|\\[nr]|$)"""
_MIN_ENTROPY: Final = 3.0


@cache
def rules() -> tuple[SecretRule, ...]:
    """All rules, ours first."""
    return (*OWN, *(_read(each) for each in _document()["rules"] if _is_taken(each)))


@cache
def rules_by_keyword() -> dict[str, list[int]]:
    """For each keyword the places in `rules` that have it; a search for few strings finds the rules to try."""
    found: dict[str, list[int]] = {}
    for number, rule in enumerate(rules()):
        for keyword in rule.keywords:
            found.setdefault(keyword, []).append(number)
    return found


@cache
def lock_files() -> re.Pattern[str]:
    """Paths of files that hold hashes and generated text."""
    return re.compile("|".join(f"(?:{_converted(each)})" for each in _document()["allowlist"]["paths"]), re.ASCII)


@cache
def _stopwords() -> tuple[str, ...]:
    (rule,) = (each for each in _document()["rules"] if each["id"] == "generic-api-key")
    words = {word.lower() for each in rule["allowlists"] for word in each.get("stopwords", ())}
    return tuple(sorted(word for word in words if len(word) >= _STOPWORD_CHARS))


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(files("app.core.safety").joinpath("gitleaks/gitleaks.toml").read_text("utf-8"))


def _is_taken(rule: dict[str, Any]) -> bool:
    """Rules that need a path are for whole repositories, not for what changed in one."""
    return "regex" in rule and "path" not in rule and rule["id"] not in LEFT_OUT


def _read(rule: dict[str, Any]) -> SecretRule:
    raw: str = rule["regex"]
    is_named = _PREFIX in raw
    pattern = raw.replace(_PREFIX, "").replace(_TERMINATOR, r"(?=[\x60'\"\s;,)}\]]|\\[nr]|$)" if is_named else _ENDS)
    pattern = _converted(re.sub(r"^(\(\?i\))?\\b", r"\1(?<![A-Za-z0-9])", pattern))
    allowed = [_compiled(_converted(each)) for lists in rule.get("allowlists", ()) for each in lists.get("regexes", ())]
    least = max(float(rule.get("entropy", 0.0)), _MIN_ENTROPY if is_named else 0.0)
    return SecretRule(
        name=f"a secret ({rule['id'].replace('-', ' ')})",
        keywords=tuple(rule["keywords"]),
        pattern=pattern,
        group=int(rule.get("secretGroup", 0)),
        judge=lambda value: entropy(value) >= least and not any(each.search(value) for each in allowed),
        is_named=is_named,
    )


def _converted(pattern: str) -> str:
    """RE2's syntax in Python's: `(?i)` within a group holds until that group ends; `[[:alnum:]]`; `\\z`."""
    pattern = pattern.replace("[[:alnum:]]", "[A-Za-z0-9]").replace(r"\z", r"\Z")
    out: list[str] = []
    opened = [0]  # for each open group, how many `(?i:` of ours end with it
    at, is_class = 0, False
    while at < len(pattern):
        if pattern.startswith("(?i)", at) and not is_class:
            out.append("(?i:")
            opened[-1] += 1
            at += 4
            continue
        char = pattern[at : at + 2] if pattern[at] == "\\" else pattern[at]
        match char:
            case "[" if not is_class:
                is_class = True
            case "]" if is_class:
                is_class = False
            case "(" if not is_class:
                opened.append(0)
            case ")" if not is_class:
                out.append(")" * opened.pop())
        out.append(char)
        at += len(char)
    return "".join(out) + ")" * opened[0]
