"""Checks of the App as GitHub has it registered, against the settings and `app.yml`."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, cast

from app import wiring
from app.commands.doctor.finding import Skip, Trouble
from app.commands.doctor.permissions import Use, find_uses
from app.core.addresses import is_loopback
from app.core.errors import GitHubError
from app.core.inbound.delivery import DeliveryAttempt
from app.core.ports.registration import AppInfo, InstallationInfo, Registration
from app.manifest import load_manifest
from app.settings import Settings

_ALLOW_LIST: Final = "IP allow list"
LOOK_BACK: Final = timedelta(days=1)
_LEVELS: Final = ("none", "read", "write", "admin")
_UNASKED: Final = {"ping", "installation", "installation_repositories"}
_NEW_KEY: Final = "Make a new private key on the App's settings page and set GITHUB_PRIVATE_KEY (or …_FILE) to it."
_KEY_FAULTS: Final = (
    (re.compile("Integration not found"), "There is no App {id} at {url}.", "Set GITHUB_APP_ID, and GITHUB_URL."),
    (re.compile("could not be decoded|generate a public key"), "The key is not one of App {id}'s.", _NEW_KEY),
    (re.compile("'(Expiration time|Issued at)'"), "The clock is wrong.", "Set it: timedatectl set-ntp true"),
    (re.compile("could not be reached|in time"), "{error}", "Is GITHUB_URL ({url}) right, and open from here?"),
    (re.compile("404"), "No GitHub answers at {url}.", "Set GITHUB_URL to https://github.com or your server."),
)


@dataclass(slots=True)
class AppChecks:
    """Each is made once, in this order: later ones need what earlier ones found."""

    settings: Settings
    _registration: Registration | None = field(default=None, init=False)
    _about: AppInfo | None = field(default=None, init=False)
    _living: list[InstallationInfo] = field(default_factory=list, init=False)

    async def key(self) -> tuple[str, list[Trouble]]:
        """Whether GitHub knows the App by its key."""
        if {"GITHUB_APP_ID", "GITHUB_PRIVATE_KEY"} & set(self.settings.app_lacks):
            raise Skip("there is no App's id and key")
        self._registration = wiring.github_app(self.settings)
        try:
            self._about = about = await self._registration.about()
        except GitHubError as error:
            return "", [self._explain(error)]
        troubles = []
        if about.ahead_s:
            direction = "behind" if about.ahead_s > 0 else "ahead of"
            what = f"This machine's clock is {abs(about.ahead_s):.0f} s {direction} GitHub's."
            troubles.append(Trouble(what, "Set it: timedatectl set-ntp true", is_warning=True))
        return f"GitHub knows {about.slug}, {about.settings_url}", troubles

    def _explain(self, error: GitHubError) -> Trouble:
        words = {"id": self.settings.github_app_id, "url": self.settings.github_url, "error": str(error)}
        for pattern, what, fix in _KEY_FAULTS:
            if pattern.search(str(error)):
                return Trouble(what.format(**words), fix.format(**words))
        return Trouble(str(error), "Check GITHUB_APP_ID, GITHUB_PRIVATE_KEY and GITHUB_URL.")

    def _known(self) -> tuple[Registration, AppInfo]:
        if self._registration is None or self._about is None:
            raise Skip("GitHub does not know the App")
        return self._registration, self._about

    async def tokens(self) -> tuple[str, list[Trouble]]:
        """A token for each installation."""
        registration, about = self._known()
        installations = await registration.installations()
        if not installations:
            return "", [Trouble("The App is installed nowhere.", f"Install it: {about.html_url}/installations/new")]
        troubles, names = [], []
        for each in installations:
            if each.is_suspended:
                what = f"The installation on {each.account} is suspended."
                troubles.append(Trouble(what, f"Its owner lets it go on: {each.html_url}", is_warning=True))
                continue
            self._living.append(each)
            try:
                count = await registration.try_token(each.id)
            except GitHubError as error:
                what = f"There is no token for {each.account}: {error}"
                fix = f"Look at the installation: {each.html_url}"
                if _ALLOW_LIST in str(error):
                    fix = f"Add the address that this machine is seen under to the IP allow list of {each.account}."
                troubles.append(Trouble(what, fix))
            else:
                names.append(f"{each.account} ({count} repositor{'y' if count == 1 else 'ies'})")
                if not count:
                    what = f"On {each.account} has access to no repository."
                    troubles.append(Trouble(what, f"Choose some: {each.html_url}", is_warning=True))
        return ", ".join(names), troubles

    async def rights(self) -> tuple[str, list[Trouble]]:
        """Permissions and events against `app.yml` and what uses more: the App's, and what installations accepted."""
        registration, about = self._known()
        manifest = load_manifest()
        asked = cast(Mapping[str, str], manifest["default_permissions"])
        events = cast(Sequence[str], manifest["default_events"])
        page = f"{about.settings_url}/permissions"
        troubles = [Trouble(what, f"Change it: {page}") for what in _lacks("The App", asked, events, about)]
        # what the App itself does not ask for nobody can accept
        asked_for = {name: level for name, level in asked.items() if _rank(about.permissions.get(name)) >= _rank(level)}
        told_of = [name for name in events if name in about.events]
        for each in self._living:
            fix = f"Its owner accepts what the App asks for: {each.html_url}"
            missing = _lacks(f"The installation on {each.account}", asked_for, told_of, each)
            troubles += [Trouble(what, fix) for what in missing]
        uses = await find_uses(registration, self.settings, self._living)
        for use in uses:
            troubles += _unmet(use, about, [use.installation] if use.installation else self._living)
        used = {**asked, **{use.permission: use.level for use in uses}}
        more = [
            *(f"{name}: {level}" for name, level in about.permissions.items() if _rank(level) > _rank(used.get(name))),
            *(f"the event {name}" for name in about.events if name not in events and name not in _UNASKED),
        ]
        if more:
            what = f"The App has more than it uses: {', '.join(more)}."
            troubles.append(Trouble(what, f"Take it away: {page}", is_warning=True))
        return f"{len(asked)} permissions and {len(events)} events, as in app.yml", troubles

    async def webhook(self) -> tuple[str, list[Trouble]]:
        """Where GitHub delivers, against PUBLIC_URL."""
        registration, about = self._known()
        hook = await registration.hook()
        url = f"{self.settings.public_address}/webhook"
        troubles = []
        if hook.url.rstrip("/") != url:
            what = f"GitHub delivers to {hook.url or 'nowhere'}, and this deployment is at {url}."
            troubles.append(Trouble(what, f"Change the webhook's URL, or set PUBLIC_URL: {about.settings_url}"))
        if hook.content_type != "json":
            what = f"GitHub delivers as {hook.content_type}, and only application/json is read."
            troubles.append(Trouble(what, f"Change the content type: {about.settings_url}"))
        if not hook.verifies_tls and not is_loopback(hook.url):
            what = "GitHub does not check the certificate before it delivers."
            troubles.append(Trouble(what, f"Enable SSL verification: {about.settings_url}", is_warning=True))
        return f"GitHub delivers to {hook.url} as {hook.content_type}", troubles

    async def deliveries(self) -> tuple[str, list[Trouble]]:
        """How GitHub's own deliveries of the last day ended: the latest attempt at each."""
        registration, about = self._known()
        latest: dict[str, DeliveryAttempt] = {}
        for attempt in await registration.deliveries(wiring.clock().now() - LOOK_BACK):
            latest.setdefault(attempt.guid, attempt)
        if not latest:
            return "none in the last day", []
        failed = [attempt for attempt in latest.values() if not attempt.arrived]
        found = f"{len(latest) - len(failed)} of the last day's {len(latest)} arrived"
        is_over = next(iter(latest.values())).arrived
        answers = Counter(attempt.status_code for attempt in failed)
        page = f"{about.settings_url}/advanced"
        return found, [
            Trouble(f"{count} failed with {status}. {_meaning(status)}", f"Read them: {page}", is_warning=is_over)
            for status, count in answers.most_common()
        ]


def _lacks(whose: str, asked: Mapping[str, str], events: Sequence[str], has: AppInfo | InstallationInfo) -> list[str]:
    """What is asked for and not had, one sentence each."""
    missing = []
    for name, level in asked.items():
        held = has.permissions.get(name)
        if _rank(held) < _rank(level):
            missing.append(f"{whose} lacks the permission {name}: {level}{f' (it has {held})' if held else ''}.")
    unheard = [name for name in events if name not in has.events]
    return [*missing, *(f"{whose} is not told of the event {name}." for name in unheard)]


def _unmet(use: Use, about: AppInfo, installations: Sequence[InstallationInfo]) -> list[Trouble]:
    """The optional permission where it is used and not had."""
    asked = f"{use.permission}: {use.level}"
    if _rank(about.permissions.get(use.permission)) < _rank(use.level):
        fix = f"Add it to the App, then accept it where it is installed: {about.settings_url}/permissions"
        return [Trouble(f"{use.by}, and the App lacks the permission {asked}.", fix, is_warning=True)]
    return [
        Trouble(
            f"{use.by}, and the installation on {each.account} lacks the permission {asked}.",
            f"Its owner accepts it: {each.html_url}",
            is_warning=True,
        )
        for each in installations
        if _rank(each.permissions.get(use.permission)) < _rank(use.level)
    ]


def _rank(level: str | None) -> int:
    return _LEVELS.index(level) if level in _LEVELS else 0


def _meaning(status: int) -> str:
    match status:
        case 401:
            return "The webhook's secret on GitHub is not GITHUB_WEBHOOK_SECRET: write the same in both places."
        case 404:
            return "Nothing at the webhook's URL takes deliveries."
        case 415:
            return "The content type must be application/json."
        case 0 | 502 | 504:
            return "GitHub could not reach this deployment, or had no answer within 10 s."
        case status if 300 <= status < 400:
            return "Something redirects, which GitHub does not follow."
        case _:
            return "vibecoder asks GitHub for them again while it runs."
