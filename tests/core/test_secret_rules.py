"""Every rule compiles, finds what it is for, and costs linear time on hostile text."""

import random
import re
import string
import time
from typing import Final

import pytest

from app.core.safety.redact import MASK, Redactor, find_secret, find_secrets
from app.core.safety.secret_rules import rules

_CHANCE: Final = random.Random(7)


def _made(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    made = "".join(_CHANCE.choices(alphabet, k=count))
    return made if sum(char.isdigit() for char in made) >= 3 or alphabet.isupper() else _made(count, alphabet)


_HEX: Final = string.hexdigits[:16]
_JWT: Final = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIi{_made(40)}.{_made(86, string.ascii_letters + string.digits + '_-')}"

SECRETS: Final = {
    "installation token": f"ghs_{_made(36)}",
    "new installation token": f"ghs_1234567_{_JWT}",
    "glued to a word": f"x_ghp_{_made(36)}",
    "glued to letters": f"xghp_{_made(36)}y",
    "fine-grained": f"github_pat_{_made(22)}_{_made(59)}",
    "user to server": f"ghu_{_made(36)}",
    "refresh": f"ghr_{_made(76)}",
    "JWT": _JWT,
    "JWT after an underscore": f"token_{_JWT}",
    "npm": f"npm_{_made(36)}",
    "npm after an underscore": f"x_npm_{_made(36)}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmc{_made(120, string.ascii_letters + string.digits + '_-')}",
    "GitLab": f"glpat-{_made(20)}",
    "GitLab, routable": f"glpat-{_made(27)}.01.{_made(9, string.ascii_lowercase + string.digits)}",
    "Hugging Face": f"hf_{_made(34)}",
    "SendGrid": f"SG.{_made(22)}.{_made(43)}",
    "Slack token": f"xoxb-730183765104-4917305824667-{_made(24)}",
    "Slack webhook": f"https://hooks.slack.com/services/T0{_made(8, string.ascii_uppercase)}/B0AB12CD34/{_made(24)}",
    "AWS access key": f"AKIA{_made(16, string.ascii_uppercase + '234567')}",
    "AWS secret key": f"aws_secret_access_key = {_made(40, string.ascii_letters + string.digits + '/+')}",
    "AWS secret key in JSON": f'"SecretAccessKey": "{_made(40, string.ascii_letters + string.digits + "/+")}"',
    ".env": f"SECRET_KEY={_made(40)}",
    "exported": f"export API_TOKEN={_made(32)}",
    "YAML": f"  client_secret: {_made(32, _HEX)}",
    "quoted": f'API_SECRET = "{_made(28)}"',
    "Django": 'SECRET_KEY = "k7^zq2@w9xc4vb8nm1*s5df6gh3jk&(0pr!"',
    "OpenAI": f"sk-proj-{_made(74)}T3BlbkFJ{_made(74)}",
    "Anthropic": f"sk-ant-api03-{_made(93)}AA",
    "E2B": f"e2b_{_made(40, _HEX)}",
    "Google": f"AIza{_made(35)}",
    "Stripe": f"sk_live_{_made(24)}",
    "Azure": f"Protocol=https;AccountName=a;AccountKey={_made(86)}==;",
    "Datadog, by name": f"DATADOG_API_KEY={_made(40, string.ascii_lowercase + string.digits)}",
    "DigitalOcean": f"dop_v1_{_made(64, _HEX)}",
    "in an address": f"postgres://app:{_made(16)}@db.internal/app",
    "in a header": f"Authorization: Bearer {_made(40)}",
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{_made(64)}\n{_made(64)}\n-----END RSA PRIVATE KEY-----",
    "private key on one line": f"-----BEGIN PRIVATE KEY-----\\n{_made(64)}\\n{_made(64)}\\n-----END PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("form", ["{}", "x = '{}'", "({}),", "see {}.", "<b>{}</b>", "?t={}&x=1"])
def test_secrets_are_found_wherever_they_stand(secret: str, form: str) -> None:
    text = form.format(secret)
    assert find_secret(text) is not None
    assert re.search(r"[A-Za-z0-9]{20}", Redactor().redact(text).replace("redacted", "")) is None


@pytest.mark.parametrize(
    "line",
    [
        "SECRET_KEY=correcthorsebatterystaple",
        "DB_PASSWORD=correct-horse-battery-staple",
        "SIGNING_KEY=correct_horse_battery_staple",
        "API_TOKEN=CorrectHorse7BatteryStaple",
        "export APP_SECRET=thequickbrownfoxjumpsoverit",
        "ENV AUTH_TOKEN=thequickbrownfoxjumpsoverit",
        "      - SESSION_SECRET=wombatsdancingatmidnight",
        "SECRET_KEY=correcthorsebatterystaple  # of production",
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nDEBUG=0\n"])
def test_words_are_a_secret_where_a_file_of_settings_has_one(line: str, end: str) -> None:
    value = line.partition("=")[2].split()[0]
    assert [(found.value, found.line) for found in find_secrets(f"PORT=80\n{line}{end}")] == [(value, 2)]
    assert value not in Redactor().redact(f"PORT=80\n{line}{end}")


@pytest.mark.parametrize(
    "text",
    [
        "SECRET_KEY = 'dev'",
        'SECRET_KEY = "change-me-change-me-change-me-0"',
        "OPENAI_API_KEY=sk-your-api-key-goes-here-please",
        "GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "aws sha 0123456789abcdef0123456789abcdef01234567",
        '"integrity": "sha512-q7Zk2Lw9Xc4Vb8Nm1As5Df6Gq7Zk2Lw9Xc4Vb8Nm1As5Df6Gq7Zk2Lw9Xc4Vb8Nm1As=="',
        "--hash=sha256:4f5dbd2b4e6f0d3c7ab1e9b0c2d8f6a59e3b71c04d28f6a5b9c1e0d7f3a2b4c6",
        "id: 550e8400-e29b-41d4-a716-446655440000",
        "API_KEY_ID=550e8400-e29b-41d4-a716-446655440000",
        "token = self.tokenizer.next_token_after_index2(value)",
        "password_field_name = 'someRatherLongFieldName42'",
        "token_url = https://example.com/oauth2/v2.0/token1",
        "token: ${{ secrets.GITHUB_TOKEN_NUMBER_2 }}",
        "postgres://postgres:postgres@localhost:5432/app",
        "http://user:password@proxy.example.com",
        "https://<user>:<token>@github.com/acme/x",
        "if text.startswith('-----BEGIN RSA PRIVATE KEY-----'):",
        ".sk-fading-circle-of-many-dots { color: red }",
        "import sk-learn-contrib-py-earth-model",
        "url(data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==)",
        "https://key=0123456789abcdef0123456789abcdef",
        "SECRET_KEY=changemechangemechangeme",
        "SECRET_KEY=change_this_to_a_long_phrase",
        "SECRET_KEY=insertyoursecretkeyhereplease",
        "SECRET_KEY=replace-with-a-long-random-string",
        "SECRET_KEY=your-very-long-secret-key-goes-here",
        "SECRET_KEY=averylongexamplevaluefordocs",
        "SECRET_KEY=<a-long-random-string-of-letters>",
        "SECRET_KEY=${SECRET_KEY_FROM_THE_VAULT_OF_ALL}",
        "SECRET_KEY=$SECRET_KEY_FROM_THE_VAULT_OF_ALL",
        "SECRET_KEY=xxxxxxxxxxxxxxxxxxxxxxxx",
        "SECRET_KEY=this-is-not-a-secret-at-all-ok",
        "SECRET_KEY=NotASecretOnlyForDevelopment",
        "DB_PASSWORD=test-password-for-the-database",
        "PASSWORD_HASHERS=django.contrib.auth.hashers.MD5PasswordHasher",
        "API_TOKEN=get_token_from_the_keyring_of_me()",
        "API_TOKEN=settings.INTEGRATION_API_TOKEN_OF_ACME",
        "ACCESS_TOKEN_LIFETIME=datetimetimedeltaminutes",
        "secret_key=config_secret_key_from_environment",
        "    secret_key=derive_the_secret_key_of_session,",
        "SECRET_KEY = derive_the_secret_key_of_session",
        "TOKEN=Token.Literal.String.Interpolated",
        "SECRET_NAME=production-database-credentials",
        "TOKEN_ENDPOINT=/oauth/authorize/token/endpoint",
        "CREDENTIALS=arn:aws:iam::role/production-deployment",
        "PRIVATE_KEY=/etc/ssl/private/production-server.pem",
        "PASSWORD_FILE=/run/secrets/the-database-password",
        "AUTH_TOKEN_HEADER=authenticationtokenheader",
        "password_hash = 'pbkdf2:sha256:600000$q7Zk2Lw9Xc4Vb8Nm$3f9a0c7be1d24856a0b9c8d7e6f50413'",
    ],
)
def test_ordinary_code_is_no_secret(text: str) -> None:
    assert list(find_secrets(text)) == []


def test_a_secret_is_found_with_its_line_and_value() -> None:
    token = f"ghp_{_made(36)}"
    (found,) = find_secrets(f"a\nb\nT = '{token}'\n")
    assert (found.kind, found.value, found.line) == ("a GitHub token", token, 3)


def test_every_rule_of_gitleaks_compiles_and_has_keywords() -> None:
    assert len(rules()) > 200
    for rule in rules():
        assert list(rule.spans("")) == []
        assert rule.keywords
        assert all(keyword == keyword.lower() for keyword in rule.keywords)


@pytest.mark.parametrize("filler", ["", "_", " = ", "-", '="', "x1y2.", "\n"])
def test_no_rule_is_slow_on_hostile_text(filler: str) -> None:
    """Each rule has its own keywords repeated, small and capital, as an attacker would for a regex that backtracks."""
    for rule in rules():
        for keyword in (rule.keywords[0], rule.keywords[-1].upper()):
            text = ((keyword + filler) * 1_000)[:10_000]
            began = time.thread_time()
            list(rule.spans(text))
            assert time.thread_time() - began < 0.1, (rule.name, keyword)


def test_masking_leaves_the_words_around() -> None:
    assert Redactor().redact(f"SECRET_KEY={_made(40)} # x") == f"SECRET_KEY={MASK} # x"
