"""What must happen for a new value to be used: which units read it, and when."""

from __future__ import annotations

from fieldline.errors import FieldlineError
from fieldline.secrets.values import CLIENT_KEY, CONSOLE, CONSOLE_HASH, HOST_KEY, is_given
from fieldline.secrets.wanted import Wanted

OPERATOR_TOKEN = "influxdb-admin-token"

_GRAFANA_PASSWORD = (
    "Grafana takes this password only when it makes its database. On {host}, after the deployment:"
    " `sudo sh -c 'runuser -u grafana -- grafana cli --homepath /var/lib/grafana --configOverrides"
    " cfg:default.paths.data=/var/lib/grafana/data admin reset-admin-password --password-from-stdin"
    " < /run/secrets/grafana-admin-password'`"
)
_GRAFANA_KEY = (
    "Grafana cannot read what it has encrypted with the old key. On {host}, after the deployment:"
    " stop grafana.service, move /var/lib/grafana/data/grafana.db away, start it. The data source"
    " and the dashboards come back by provisioning; users made in the page do not"
)
_ADMIN_TOKEN = """\
The operator's token of InfluxDB cannot be rotated: InfluxDB 2 takes a given token only at its \
first setup (docs/decisions/0005). If it has leaked, on its host:
  1. make another operator token:  influx auth create --operator --host http://127.0.0.1:8086
     (signed in with the old one)
  2. keep it:                      fieldline secrets set influxdb-admin-token
  3. deploy the host, then delete the old one: influx auth list; influx auth delete --id ID"""


def refuse_what_cannot_rotate(name: str, wanted: Wanted) -> None:
    """Check that a secret can be given another value by this command.

    Raises:
        FieldlineError: it cannot; the text says what to do.
    """
    if name == OPERATOR_TOKEN:
        raise FieldlineError(_ADMIN_TOKEN)
    if name.startswith(HOST_KEY):
        if name.removeprefix(HOST_KEY) not in wanted.hosts:
            hosts = ", ".join(sorted(wanted.hosts))
            raise FieldlineError(f"There is no host of {name}. The hosts are: {hosts}.")
        return
    check_known(name, wanted)
    if is_given(name):
        raise FieldlineError(
            f"{name} is decided by who owns the device: have it changed there, then run"
            f" `fieldline secrets set {name}`."
        )


def check_known(name: str, wanted: Wanted) -> None:
    """Check that the site wants a secret of this name.

    Raises:
        FieldlineError: it does not.
    """
    known = wanted.names() | {CONSOLE}
    if name not in known:
        raise FieldlineError(
            f"This site has no secret {name}. Its secrets are: {', '.join(sorted(known))}."
        )


def steps(name: str, wanted: Wanted) -> list[str]:
    """What is to be done after a secret has a new value, a sentence each."""
    if name.startswith(HOST_KEY):
        host = name.removeprefix(HOST_KEY)
        text = (
            f"`fieldline secrets install {host} ADDRESS`, deploy {host}, then install once more:"
            " the first leaves the old key behind the new one, for a deployment that is gone back"
            " from, and the second removes it"
        )
        return [text]
    hosts = wanted.hosts_with(CONSOLE_HASH if name == CONSOLE else name)
    if not hosts:
        return []
    found = [f"deploy {', '.join(hosts)} (in a lab: fieldline lab up --restart)"]
    found += _restarts(name, wanted)
    special = {"grafana-admin-password": _GRAFANA_PASSWORD, "grafana-secret-key": _GRAFANA_KEY}
    if name in special:
        found.append(special[name].format(host=hosts[0]))
    if name == CLIENT_KEY:
        found.append("have each OPC UA server trust the new opcua-client-certificate")
    return found


def _restarts(name: str, wanted: Wanted) -> list[str]:
    return [
        f"see that {use.unit}.service on {use.host} has restarted: a deployment does it, and until"
        " then the unit keeps the old value"
        for use in wanted.uses.get(name, ())
    ]
