"""The ways to connect that a provider has, and which of them a command line means."""

from enum import StrEnum

from aura_cli.errors import UsageError
from aura_cli.integrations.provider import Kind, Provider


class Way(StrEnum):
    """How somebody connects; all but the last by consent."""

    LOOPBACK = "loopback"  # the browser comes back to this machine
    PASTE = "paste"  # the address that it ends on is pasted
    LINK = "link"  # somebody opens a one-time address on the listener
    DEVICE = "device"  # a code is typed on any device
    CLIENT_CREDENTIALS = "client_credentials"  # the app asks for itself
    CREDENTIALS = "credentials"  # typed by hand


MEANS = {
    Way.LOOPBACK: "consent in a browser on this machine",
    Way.PASTE: "consent in any browser, its last address pasted (--paste)",
    Way.LINK: "a one-time link for somebody else (--link)",
    Way.DEVICE: "a code typed on any device (--device)",
    Way.CLIENT_CREDENTIALS: "the app's own credentials, without a person",
    Way.CREDENTIALS: "credentials given by hand (--credentials -)",
}


def ways(provider: Provider) -> tuple[Way, ...]:
    """Every way that this provider has, the usual one first."""
    oauth, found = provider.oauth, list[Way]()
    if oauth and oauth.authorize_url and oauth.redirect:
        found += [Way.PASTE, Way.LINK] if oauth.redirect.rule == "https_only" else [Way.LOOPBACK, Way.PASTE, Way.LINK]
    if oauth and oauth.device_url:
        found.append(Way.DEVICE)
    if oauth and provider.kind is Kind.CLIENT_CREDENTIALS:
        found.append(Way.CLIENT_CREDENTIALS)
    if provider.credentials:
        found.append(Way.CREDENTIALS)
    usual = usual_way(provider)
    return tuple(sorted(found, key=lambda way: way is not usual))


def usual_way(provider: Provider) -> Way:
    """How `connect` goes about it unless it is told otherwise."""
    match provider.kind:
        case Kind.OAUTH2_CODE:
            only_https = provider.oauth and provider.oauth.redirect and provider.oauth.redirect.rule == "https_only"
            return Way.LINK if only_https else Way.LOOPBACK
        case Kind.DEVICE:
            return Way.DEVICE
        case Kind.CLIENT_CREDENTIALS:
            return Way.CLIENT_CREDENTIALS
    return Way.CREDENTIALS


def way_of(provider: Provider, *asked: Way) -> Way:
    """The way that a command line means. Raises UsageError for several, or for one that the provider does not have."""
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(f'--{way}' for way in asked)} are different ways", "Choose one")
    if not asked:
        return usual_way(provider)
    known = ways(provider)
    if asked[0] not in known:
        raise UsageError(f"{provider.name} cannot be connected with --{asked[0]}", f"It can by: {'; '.join(MEANS[way] for way in known)}")
    return asked[0]
