"""Which host is meant, on which platform, and where data must arrive afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from fieldline.errors import FieldlineError
from fieldline.site import Host, Site


@dataclass(frozen=True, slots=True)
class Target:
    """A declared host on one of its platforms."""

    host: Host
    platform: str

    @property
    def configuration(self) -> str:
        """Its name among the flake's nixosConfigurations."""
        return f"{self.host.name}@{self.platform}"


def find_target(site: Site, text: str, platform: str | None = None) -> Target:
    """The host that `text` names: `db`, or with its platform `opc@raspberry`.

    Raises:
        FieldlineError: no such host or platform, or it is not clear which platform.
    """
    name, _, named = text.partition("@")
    if name not in site.hosts:
        hosts = ", ".join(sorted(site.hosts))
        raise FieldlineError(f'"{name}" is no host of {site.path}. The hosts are: {hosts}.')
    if named and platform and named != platform:
        raise FieldlineError(f"Two platforms are named, {named} and {platform}; leave one out.")
    host = site.hosts[name]
    wanted = named or platform
    platforms = ", ".join(host.platforms)
    if wanted and wanted not in host.platforms:
        raise FieldlineError(f'"{wanted}" is no platform of {name}, which has: {platforms}.')
    if not wanted and len(host.platforms) > 1:
        example = f"{name}@{host.platforms[0]}"
        raise FieldlineError(f"{name} has the platforms {platforms}; say which, such as {example}.")
    return Target(host, wanted or host.platforms[0])


def database(site: Site) -> Host | None:
    """The host where fresh data can be seen, if the site has one."""
    return next((host for host in site.hosts.values() if "influxdb" in host.roles), None)
