"""What a lab host is: its units, users, files, secrets, firewall and network."""

import hashlib
import json
import socket
import subprocess
import threading
import tomllib

import pytest
from fieldline.errors import FieldlineError
from fieldline_lab.host import Host
from fieldline_lab.lab import Lab
from worktree import ARGUMENTS, CLOSED_PORT, ENVIRONMENT, OPEN_PORT, WorkTree

CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as s:
    print(s.makefile().read())
"""
# A dropped packet is only seen as time that passes; an accepted one is answered in a millisecond.
DROPPED_SECONDS = "1"


def connect(host: Host, address: str, port: int, seconds: str = "10") -> tuple[int, str]:
    done = host.exec(["/usr/bin/python3", "-c", CONNECT, address, str(port), seconds], timeout=60)
    return done.returncode, done.stdout.strip() + done.stderr.strip()


def test_every_declared_unit_runs_and_nothing_has_failed(lab: Lab) -> None:
    for host in lab.hosts.values():
        assert [state.verdict for state in host.unit_states()] == ["running"] * len(
            host.expected_units
        )
        assert host.exec(["systemctl", "is-system-running"]).stdout.strip() == "running"


def test_nothing_of_the_machine_runs_in_a_host(lab: Lab) -> None:
    output = (
        lab.hosts["alpha"]
        .exec(["systemctl", "list-units", "--type=service", "--state=running", "--output=json"])
        .stdout
    )
    running = {entry["unit"] for entry in json.loads(output)}
    assert running == {"server.service", "systemd-journald.service"}


def test_a_dynamic_user_reads_its_credential_and_only_root_the_secret(lab: Lab) -> None:
    alpha, beta = lab.hosts["alpha"], lab.hosts["beta-two"]
    secret = alpha.exec(["cat", "/run/secrets/password"], check=True).stdout
    assert len(secret) == 64
    expected = hashlib.sha256(secret.encode()).hexdigest()
    assert connect(alpha, "localhost", OPEN_PORT) == (0, expected)
    user = alpha.exec(["ps", "-o", "user=", "-C", "python3"]).stdout.split()
    assert user == ["server"]
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    assert alpha.exec([*as_nobody, "cat", "/run/secrets/password"]).returncode == 1
    # The other host has not declared it.
    assert beta.exec(["ls", "/run/secrets"], check=True).stdout == ""
    # Neither in a process list nor in a log, nor anywhere in /etc.
    for argv in (["ps", "axewww"], ["journalctl", "--no-pager", "--output=json"]):
        assert secret not in alpha.exec(argv, check=True).stdout
    assert alpha.exec(["grep", "-rs", secret, "/etc/systemd", "/etc/test"]).returncode == 1


def test_the_firewall_lets_through_what_is_declared_and_nothing_else(lab: Lab) -> None:
    beta = lab.hosts["beta-two"]
    address = lab.hosts["alpha"].address
    assert connect(beta, address, OPEN_PORT)[0] == 0
    code, output = connect(beta, address, CLOSED_PORT, DROPPED_SECONDS)
    assert code == 1
    assert "timed out" in output
    # It is the firewall alone: the same port answers on the host itself.
    assert connect(lab.hosts["alpha"], "localhost", CLOSED_PORT)[0] == 0


def test_systemds_own_address_filter_works_in_a_host(lab: Lab) -> None:
    run = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"]
    client = ["/usr/bin/python3", "-c", CONNECT, "127.0.0.1", str(OPEN_PORT), DROPPED_SECONDS]
    alpha = lab.hosts["alpha"]
    assert alpha.exec([*run, *client], timeout=30).returncode == 0
    denied = alpha.exec([*run, "--property=IPAddressDeny=any", *client], timeout=30)
    assert denied.returncode == 1


def test_a_host_knows_the_others_by_name_and_no_way_out(lab: Lab) -> None:
    beta = lab.hosts["beta-two"]
    assert connect(beta, "alpha", OPEN_PORT)[0] == 0
    code, output = connect(beta, "192.0.2.1", 80)
    assert code == 1
    assert "unreachable" in output
    assert connect(beta, "example.org", 80)[0] == 1


def test_nothing_outside_the_namespaces_has_a_route_to_a_host_of_its_own(lab: Lab) -> None:
    interfaces = {name for _, name in socket.if_nameindex()}
    assert not any(name.startswith(("p", "bridge", "enp0s3")) for name in interfaces)
    output = subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True)
    addresses = {info["local"] for link in json.loads(output.stdout) for info in link["addr_info"]}
    assert not addresses & {host.address for host in lab.hosts.values()}
    assert "192.168.0.1" not in addresses


def test_a_forwarded_port_reaches_a_service_that_the_firewall_hides(lab: Lab) -> None:
    port = lab.status()["hosts"]["alpha"]["forwards"]["influxdb"]
    secret = lab.hosts["alpha"].exec(["cat", "/run/secrets/password"], check=True).stdout
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answer = connection.makefile().read()
    assert answer == hashlib.sha256(secret.encode()).hexdigest()


def test_declared_files_and_users_are_there(lab: Lab) -> None:
    alpha = lab.hosts["alpha"]
    text = alpha.exec(["cat", "/etc/test/settings.toml"], check=True).stdout
    assert tomllib.loads(text) == {"a": {"b": 1}}
    assert alpha.exec(["id", "-un", "tester"]).stdout == "tester\n"
    assert alpha.exec(["cat", "/proc/sys/kernel/hostname"]).stdout == "alpha\n"


def test_arguments_and_environment_reach_a_program_as_they_are_declared(lab: Lab) -> None:
    text = lab.hosts["beta-two"].exec(["cat", "/var/lib/arguments.json"], check=True).stdout
    assert json.loads(text) == [ARGUMENTS, ENVIRONMENT]


def test_exec_gives_output_input_and_exit_code(lab: Lab) -> None:
    alpha = lab.hosts["alpha"]
    done = alpha.exec(["sh", "-c", "cat; echo no >&2; exit 7"], input="given")
    assert (done.returncode, done.stdout, done.stderr) == (7, "given", "no\n")
    with pytest.raises(FieldlineError, match="failed in the host alpha with 3"):
        alpha.exec(["sh", "-c", "exit 3"], check=True)
    assert alpha.exec(["env"]).stdout.count("PATH=/opt/fieldline/bin:") == 1


def test_exec_that_takes_too_long_is_ended_with_its_children(lab: Lab) -> None:
    alpha = lab.hosts["alpha"]
    with pytest.raises(subprocess.TimeoutExpired):
        alpha.exec(["sh", "-c", "sleep 4711 & wait"], timeout=0.5)
    assert alpha.exec(["pgrep", "-f", "sleep 4711"]).returncode == 1


def test_a_command_in_a_host_cannot_set_the_machines_clock(lab: Lab) -> None:
    done = lab.hosts["alpha"].exec(["date", "--set", "2001-01-01"])
    assert done.returncode == 1
    assert "not permitted" in done.stderr


def test_crash_and_start(lab: Lab) -> None:
    alpha = lab.hosts["alpha"]
    starts = "/var/lib/server/starts"
    before = alpha.exec(["cat", starts], check=True).stdout
    alpha.crash()
    assert not alpha.running
    with pytest.raises(FieldlineError, match="alpha is off"):
        alpha.exec(["true"])
    alpha.boot()
    lab.wait(["alpha"])
    assert alpha.exec(["cat", starts], check=True).stdout == before + "x"


def test_a_crash_is_silent_to_the_others(lab: Lab) -> None:
    """No FIN, no RST: as after a power cut, a peer waits for an answer that never comes."""
    alpha, beta = lab.hosts["alpha"], lab.hosts["beta-two"]
    listen = "import socket; socket.create_server(('', 7001)).accept()[0].recv(1)"
    peer = """
import socket
s = socket.create_connection(("alpha", 7001), timeout=10)
print("connected", flush=True)
s.settimeout(1)
try:
    print("ended", s.recv(1))
except TimeoutError:
    print("silence")
"""
    alpha.exec(["systemctl", "stop", "server"], check=True)
    server = subprocess.Popen(alpha.command(["/usr/bin/python3", "-c", listen]))
    argv = beta.command(["/usr/bin/python3", "-c", "import time\n" + _retry(peer)])
    client = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "connected\n"
    alpha.crash()
    assert client.stdout.read() == "silence\n"
    client.wait()
    server.wait()
    alpha.boot()
    lab.wait()


def _retry(text: str) -> str:
    """Python text that connects as soon as somebody listens."""
    return text.replace(
        's = socket.create_connection(("alpha", 7001), timeout=10)',
        "while True:\n"
        "    try:\n"
        '        s = socket.create_connection(("alpha", 7001), timeout=10)\n'
        "        break\n"
        "    except ConnectionRefusedError:\n"
        "        time.sleep(0.01)\n",
    )


def test_block_and_unblock(lab: Lab) -> None:
    alpha, beta = lab.hosts["alpha"], lab.hosts["beta-two"]
    alpha.block()
    assert connect(beta, alpha.address, OPEN_PORT, DROPPED_SECONDS)[0] == 1
    alpha.unblock()
    assert connect(beta, alpha.address, OPEN_PORT)[0] == 0


def test_an_orderly_shutdown_lets_units_stop(lab: Lab) -> None:
    beta = lab.hosts["beta-two"]
    assert beta.shutdown()
    assert not beta.running
    beta.boot()
    lab.wait()
    log = beta.exec(["journalctl", "--boot=-1", "--no-pager", "--unit=sleeper"], check=True).stdout
    assert "Stopped sleeper.service" in log


def test_hosts_may_be_handled_by_several_threads(lab: Lab) -> None:
    errors: list[BaseException] = []

    def restart(host: Host) -> None:
        try:
            host.crash()
            host.boot()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=restart, args=[host]) for host in lab.hosts.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    lab.wait()


def test_the_shared_tree_is_up(shared_tree: WorkTree, lab: Lab) -> None:
    assert shared_tree.names() == lab.names
